//! Which device nodes a container may open (version 1; on version 2 the node drops `CAP_MKNOD` instead, so that only the prepared
//! nodes of `/dev` exist).

use std::{fs, io};

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::{Controller, Group, Hierarchy, named};

/// What every container may use: making nodes (without opening them), null, zero, full, random, urandom, tty, console, ptmx, ptys.
const ALWAYS: [&str; 10] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

impl Group {
    /// Applies the device rules of `config.json`, after which the standard nodes are allowed in any case.
    ///
    /// # Errors
    /// If the kernel refuses a rule.
    pub fn allow_devices(&self, rules: &[LinuxDeviceCgroup]) -> io::Result<()> {
        let Some((Hierarchy::V1(_), dir)) = self.of(Controller::Devices) else { return Ok(()) };
        let write = |file: &str, rule: &str| {
            let path = dir.join(file);
            fs::write(&path, rule).map_err(|e| named(e, &format!("write {rule:?} to"), &path))
        };
        for rule in rules {
            let file = if rule.allow() { "devices.allow" } else { "devices.deny" };
            write(file, &line(rule))?;
        }
        for rule in ALWAYS {
            write("devices.allow", rule)?;
        }
        Ok(())
    }

    /// Whether devices are governed here at all.
    #[must_use]
    pub fn governs_devices(&self) -> bool {
        matches!(self.of(Controller::Devices), Some((Hierarchy::V1(_), _)))
    }
}

fn line(rule: &LinuxDeviceCgroup) -> String {
    let number = |n: Option<i64>| n.filter(|n| *n >= 0).map_or("*".to_owned(), |n| n.to_string());
    let kind = rule.typ().unwrap_or(LinuxDeviceType::A);
    let kind = kind.as_str();
    let access = rule.access().as_deref().unwrap_or("rwm");
    if kind == "a" && rule.major().is_none() && rule.minor().is_none() {
        return "a".to_owned();
    }
    format!("{kind} {}:{} {access}", number(rule.major()), number(rule.minor()))
}
