//! Whom a command runs as: the identity that `config.json` gives the container's own process.

use std::io;

use oci_spec::runtime::{Capabilities, LinuxCapabilities, PosixRlimit, PosixRlimitType, Process};
use rustix::{
    process::{Gid, Resource, Rlimit, Uid},
    thread::{CapabilitySet, CapabilitySets},
};

/// Everything to set between fork and exec, prepared so that setting it allocates nothing.
pub(super) struct Identity {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    umask: Option<u32>,
    limits: Vec<(Resource, Rlimit)>,
    /// Absent: keep what the shim has.
    capabilities: Option<Powers>,
    no_new_privileges: bool,
}

struct Powers {
    bounding: CapabilitySet,
    sets: CapabilitySets,
    ambient: CapabilitySet,
}

impl Identity {
    pub(super) fn of(process: &Process) -> Self {
        let user = process.user();
        let groups = user.additional_gids().iter().flatten().map(|gid| Gid::from_raw(*gid));
        Self {
            uid: Uid::from_raw(user.uid()),
            gid: Gid::from_raw(user.gid()),
            groups: groups.collect(),
            umask: user.umask(),
            limits: process.rlimits().iter().flatten().map(limit).collect(),
            capabilities: process.capabilities().as_ref().map(powers),
            no_new_privileges: process.no_new_privileges() == Some(true),
        }
    }

    pub(super) fn uid(&self) -> Uid {
        self.uid
    }

    pub(super) fn gid(&self) -> Gid {
        self.gid
    }

    /// Makes the calling process this identity. The last step before exec; between fork and exec, so without allocating.
    pub(super) fn assume(&self) -> io::Result<()> {
        for (resource, limit) in &self.limits {
            rustix::process::setrlimit(*resource, *limit)?;
        }
        if let Some(umask) = self.umask {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        }
        rustix::thread::set_thread_groups(&self.groups)?;
        rustix::thread::set_thread_res_gid(self.gid, self.gid, self.gid)?;
        if let Some(powers) = &self.capabilities {
            for capability in CapabilitySet::all().iter() {
                // The newest ones are unknown to older kernels.
                if !powers.bounding.contains(capability)
                    && rustix::thread::capability_is_in_bounding_set(capability).unwrap_or(false)
                {
                    rustix::thread::remove_capability_from_bounding_set(capability)?;
                }
            }
            rustix::thread::set_keep_capabilities(true)?;
        }
        rustix::thread::set_thread_res_uid(self.uid, self.uid, self.uid)?;
        if let Some(powers) = &self.capabilities {
            rustix::thread::set_capabilities(None, powers.sets)?;
            rustix::thread::set_keep_capabilities(false)?;
            rustix::thread::clear_ambient_capability_set()?;
            for capability in powers.ambient.iter() {
                rustix::thread::configure_capability_in_ambient_set(capability, true)?;
            }
        }
        if self.no_new_privileges {
            rustix::thread::set_no_new_privs(true)?;
        }
        Ok(())
    }
}

fn powers(capabilities: &LinuxCapabilities) -> Powers {
    Powers {
        bounding: set(capabilities.bounding().as_ref()),
        sets: CapabilitySets {
            effective: set(capabilities.effective().as_ref()),
            permitted: set(capabilities.permitted().as_ref()),
            inheritable: set(capabilities.inheritable().as_ref()),
        },
        ambient: set(capabilities.ambient().as_ref()),
    }
}

fn set(capabilities: Option<&Capabilities>) -> CapabilitySet {
    capabilities
        .into_iter()
        .flatten()
        .filter_map(|capability| {
            let name = capability.to_string();
            CapabilitySet::from_name(name.trim_start_matches("CAP_"))
        })
        .collect()
}

fn limit(limit: &PosixRlimit) -> (Resource, Rlimit) {
    let resource = match limit.typ() {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    };
    let bound = |value: u64| (value != u64::MAX).then_some(value);
    (resource, Rlimit { current: bound(limit.soft()), maximum: bound(limit.hard()) })
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Capability;

    use super::*;

    #[test]
    fn every_capability_of_the_specification_has_its_bit() {
        for capability in [
            Capability::Chown,
            Capability::SysAdmin,
            Capability::AuditWrite,
            Capability::NetBindService,
            Capability::CheckpointRestore,
        ] {
            let one = Capabilities::from([capability]);
            assert_eq!(set(Some(&one)).bits().count_ones(), 1, "{capability}");
        }
    }
}
