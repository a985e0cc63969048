//! Connections from pods to the world beyond the machine.

use std::{
    fs, io,
    io::Write,
    process::{Command, Stdio},
};

use super::Range;

/// Whether pods may reach beyond the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// Pods, the machine and nothing else.
    Closed,
    /// Pods appear to the world as the machine (needs `nft`; turns IPv4 forwarding on). Without `nft` it is as if closed.
    Nat,
}

/// Called on the thread that is in the bridge's namespace: a child process inherits the namespace.
pub(super) fn set_up(outbound: Outbound, bridge: &str, range: Range) {
    match outbound {
        Outbound::Closed => {}
        Outbound::Nat => match masquerade(bridge, range) {
            Ok(()) => tracing::debug!("pods reach beyond the machine through nft"),
            Err(error) => tracing::info!(%error, "pods can't reach beyond the machine"),
        },
    }
}

fn masquerade(bridge: &str, range: Range) -> io::Result<()> {
    // Adding before deleting makes the deletion work on the first run as well.
    let rules = format!(
        "table ip {bridge}\ndelete table ip {bridge}\ntable ip {bridge} {{\n chain out {{\n  type nat hook postrouting priority srcnat;\n  \
         ip saddr {range} ip daddr != {range} masquerade\n }}\n}}\n"
    );
    nft(&rules)?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")
}

/// Takes the rules away. Forwarding stays on: others may have come to rely on it.
pub(super) fn tear_down(outbound: Outbound, bridge: &str) {
    if outbound == Outbound::Nat
        && let Err(error) = nft(&format!("table ip {bridge}\ndelete table ip {bridge}\n"))
    {
        tracing::debug!(%error, "no rules to take away");
    }
}

fn nft(rules: &str) -> io::Result<()> {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| io::Error::new(e.kind(), format!("run nft: {e}")))?;
    if let Some(mut stdin) = nft.stdin.take() {
        stdin.write_all(rules.as_bytes())?;
    }
    let output = nft.wait_with_output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("nft: {}", String::from_utf8_lossy(&output.stderr))));
    }
    Ok(())
}
