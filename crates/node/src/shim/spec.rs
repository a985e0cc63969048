//! What of `config.json` is ours to decide.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use libcontainer::oci_spec::runtime::{
    Capability, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType, LinuxNamespace,
    LinuxNamespaceType, LinuxResources, Mount, Spec,
};

use crate::runtime::ContainerSetup;

/// How the container comes by the pod's namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Joining {
    /// It is a clone of this process and has them already.
    Inherited,
    /// Another program makes it, and has to be told where they are.
    ByPath {
        /// Whether it makes control groups of its own, below ours. Then it governs devices; limits are always ours.
        own_groups: bool,
        /// The pod's network namespace.
        network: PathBuf,
    },
}

/// Where the container lives.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pub(super) joining: Joining,
    /// The first process of the pod's shared process namespace.
    pub(super) pause: Option<i32>,
    /// Whether the control groups keep it from opening devices it makes itself.
    pub(super) devices_governed: bool,
}

/// Adapts the agent's `config.json`: the pod's namespaces instead of new ones, our control groups instead of its own, and nothing that
/// would change the machine itself.
pub(super) fn adapt(
    mut spec: Spec,
    setup: &ContainerSetup,
    around: Surroundings,
) -> io::Result<Spec> {
    // A clone has the pod's name already. Others may not take it from the namespace.
    if around.joining == Joining::Inherited {
        spec.set_hostname(None).set_domainname(None);
    }
    if let Some(root) = spec.root_mut()
        && root.path().is_relative()
    {
        let path = setup.bundle.join(root.path());
        root.set_path(path);
    }
    if let Some(process) = spec.process_mut() {
        // Lowering it takes a capability that we may lack; the shim does what it can afterwards.
        process.set_terminal(Some(setup.tty)).set_oom_score_adj(None);
    }
    if !around.devices_governed && !has_machine_devices(&spec) {
        forbid_making_devices(&mut spec);
    }
    if has_machine_devices(&spec) {
        copy_machine_devices(&mut spec)?;
    }
    if let Some(linux) = spec.linux_mut() {
        let namespaces = linux.namespaces().clone().unwrap_or_default();
        let namespaces = namespaces.into_iter().filter_map(|one| namespace(one, &around)).collect();
        linux.set_namespaces(Some(namespaces)).set_cgroups_path(None);
        let rules = linux.resources().as_ref().and_then(|resources| resources.devices().clone());
        let resources = match around.joining {
            Joining::ByPath { own_groups: true, .. } => {
                let mut resources = LinuxResources::default();
                resources.set_devices(rules);
                Some(resources)
            }
            _ => None,
        };
        linux.set_resources(resources);
    }
    Ok(spec)
}

fn namespace(mut namespace: LinuxNamespace, around: &Surroundings) -> Option<LinuxNamespace> {
    let name = match namespace.typ() {
        LinuxNamespaceType::Network => "net",
        LinuxNamespaceType::Ipc => "ipc",
        LinuxNamespaceType::Uts => "uts",
        LinuxNamespaceType::Pid => {
            let path = around.pause.map(|pause| PathBuf::from(format!("/proc/{pause}/ns/pid")));
            namespace.set_path(path);
            return Some(namespace);
        }
        _ => return Some(namespace),
    };
    let Joining::ByPath { network, .. } = &around.joining else { return None };
    let path = match namespace.typ() {
        LinuxNamespaceType::Network => network.clone(),
        _ => PathBuf::from(format!("/proc/{}/ns/{name}", std::process::id())),
    };
    namespace.set_path(Some(path));
    Some(namespace)
}

/// Whether the container is to see the machine's `/dev`.
fn has_machine_devices(spec: &Spec) -> bool {
    let mut mounts = spec.mounts().iter().flatten();
    mounts.any(|mount| is_dev(mount) && mount.source().as_deref() == Some(Path::new("/dev")))
}

fn is_dev(mount: &Mount) -> bool {
    mount.destination() == Path::new("/dev")
}

/// Gives the container a `/dev` of its own with the machine's nodes in it. A bind mount would show it the machine's folder itself, and
/// runtimes make their links and nodes in whatever is at `/dev`.
fn copy_machine_devices(spec: &mut Spec) -> io::Result<()> {
    let mut devices = Vec::new();
    collect(Path::new("/dev"), &mut devices)?;
    let options = |all: &[&str]| Some(all.iter().map(|&one| one.to_owned()).collect::<Vec<_>>());
    let mut mounts: Vec<Mount> = Vec::new();
    for mut mount in spec.mounts().clone().unwrap_or_default() {
        if is_dev(&mount) {
            mount
                .set_typ(Some("tmpfs".to_owned()))
                .set_source(Some(PathBuf::from("tmpfs")))
                .set_options(options(&["nosuid", "strictatime", "mode=755", "size=65536k"]));
            mounts.push(mount.clone());
            mount
                .set_destination(PathBuf::from("/dev/pts"))
                .set_typ(Some("devpts".to_owned()))
                .set_source(Some(PathBuf::from("devpts")))
                .set_options(options(&[
                    "nosuid",
                    "noexec",
                    "newinstance",
                    "ptmxmode=0666",
                    "mode=0620",
                    "gid=5",
                ]));
        }
        mounts.push(mount);
    }
    spec.set_mounts(Some(mounts));
    if let Some(linux) = spec.linux_mut() {
        linux.set_devices(Some(devices));
    }
    Ok(())
}

/// The nodes of the machine, without those that belong to a terminal, a message queue or a container's own set-up.
fn collect(folder: &Path, devices: &mut Vec<LinuxDevice>) -> io::Result<()> {
    const NOT_THESE: [&str; 7] = [
        "/dev/pts",
        "/dev/shm",
        "/dev/mqueue",
        "/dev/fd",
        "/dev/console",
        "/dev/ptmx",
        "/dev/core",
    ];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if NOT_THESE.iter().any(|not| path == Path::new(not)) {
            continue;
        }
        // A node that is gone by now is none.
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        let kind = found.file_type();
        if kind.is_dir() {
            collect(&path, devices)?;
        }
        let typ = match (kind.is_char_device(), kind.is_block_device()) {
            (true, _) => LinuxDeviceType::C,
            (_, true) => LinuxDeviceType::B,
            _ => continue,
        };
        let device = LinuxDeviceBuilder::default()
            .path(path)
            .typ(typ)
            .major(i64::from(rustix::fs::major(found.rdev())))
            .minor(i64::from(rustix::fs::minor(found.rdev())))
            .file_mode(found.mode() & 0o7777)
            .uid(found.uid())
            .gid(found.gid())
            .build()
            .map_err(io::Error::other)?;
        devices.push(device);
    }
    Ok(())
}

/// Where no control group governs devices, a container that may make nodes could open the machine's disks.
fn forbid_making_devices(spec: &mut Spec) {
    let Some(process) = spec.process_mut() else { return };
    let Some(mut sets) = process.capabilities().clone() else { return };
    let without = |set: &Option<std::collections::HashSet<Capability>>| {
        set.as_ref().map(|set| set.iter().copied().filter(|c| *c != Capability::Mknod).collect())
    };
    let (bounding, effective) = (without(sets.bounding()), without(sets.effective()));
    let (permitted, inheritable) = (without(sets.permitted()), without(sets.inheritable()));
    let ambient = without(sets.ambient());
    sets.set_bounding(bounding)
        .set_effective(effective)
        .set_permitted(permitted)
        .set_inheritable(inheritable)
        .set_ambient(ambient);
    process.set_capabilities(Some(sets));
}
