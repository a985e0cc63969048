//! Starts one container: image, environment, bundle, process.

use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::{
    Board, hook,
    record::Record,
    set_up::{SetUpError, hostname, prepare, references},
};
use crate::{
    agent::{Bundles, context::Context, recorder::Severity},
    downward::Addresses,
    image::{Credentials, Image, ImageError, ImageName, Origin, read_in_image},
    oci_config::{
        Bind, ConfigError, EnvError, IdentityError, Inputs, UserFiles, config, environment,
        identity,
    },
    runtime::{
        ContainerId, ContainerSetup, ContainerState, PodId, PodMount, Runtime, RuntimeError,
    },
    schedule,
    volume::VolumeError,
};

/// Why a container was not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Its image.
    #[error("{0}")]
    Pull(#[from] ImageError),
    /// Its image isn't here and may not be pulled.
    #[error("Container image {0:?} is not present with pull policy of Never")]
    NeverPull(String),
    /// What it asks for can't be had (yet).
    #[error("{0}")]
    Config(String),
    /// Its files.
    #[error("{attempted} {path}: {source}")]
    File {
        /// What was attempted.
        attempted: &'static str,
        /// On what.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The runtime.
    #[error("{0}")]
    Runtime(#[from] RuntimeError),
}

impl From<EnvError> for StartError {
    fn from(error: EnvError) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<IdentityError> for StartError {
    fn from(error: IdentityError) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<VolumeError> for StartError {
    fn from(error: VolumeError) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<SetUpError> for StartError {
    fn from(error: SetUpError) -> Self {
        Self::Config(error.to_string())
    }
}

impl StartError {
    /// The reason a waiting container shows.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Pull(ImageError::Name { .. }) => "InvalidImageName",
            Self::Pull(_) => "ErrImagePull",
            Self::NeverPull(_) => "ErrImageNeverPull",
            Self::Config(_) => "CreateContainerConfigError",
            Self::File { .. } => "CreateContainerError",
            Self::Runtime(_) => "RunContainerError",
        }
    }
}

/// A container that runs.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) state: ContainerState,
    pub(crate) record: Record,
    /// Why the hook that follows a start has failed, if it has.
    pub(crate) hook: Option<String>,
}

/// Starts a container of a pod that is set up.
pub(crate) async fn start<R: Runtime>(
    context: &Arc<Context<R>>,
    pod: &Arc<Pod>,
    container: &Container,
    attempt: u32,
    ips: &[IpAddr],
    board: &Board,
) -> Result<Started, StartError> {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let id = ContainerId { pod: PodId(uid.clone()), name: container.name.clone() };
    let dir = context.pod_dir(&uid).join("containers").join(&container.name);
    let bundle = dir.join(attempt.to_string());
    let log = context.log_path(&uid, &container.name, attempt);
    let mut image_id = container.image.clone().unwrap_or_default();
    let mut mounts = Vec::new();
    if context.options.bundles == Bundles::Prepared {
        let image = image(context, pod, container).await?;
        image_id = image.id.0.clone();
        mounts = bundle_for(context, pod, container, &image, &dir, &bundle, ips).await?;
        let logs = log.parent().unwrap_or(&log);
        fs::create_dir_all(logs).map_err(file("making", logs))?;
    }
    context.recorder.note(
        pod,
        Some(&container.name),
        Severity::Normal,
        "Created",
        format!("Created container: {}", container.name),
    );
    let record = Record {
        image: container.image.clone().unwrap_or_default(),
        image_id,
        resources: container.resources.clone().unwrap_or_default(),
    };
    let setup = ContainerSetup {
        id,
        attempt,
        bundle: bundle.clone(),
        mounts,
        log,
        tty: container.tty == Some(true),
        stdin: container.stdin == Some(true),
        limits: schedule::limits(container),
        annotations: record.annotations(),
    };
    let turn = context.starts.acquire().await;
    let state = context.runtime.start_container(setup).await?;
    drop(turn);
    context.recorder.note(
        pod,
        Some(&container.name),
        Severity::Normal,
        "Started",
        format!("Started container {}", container.name),
    );
    if attempt > 0 {
        // The run before the last: its root is mounted nowhere any more.
        crate::image::discard(&dir.join((attempt - 1).to_string()), &context.trash());
    }
    // Whoever wants to see what the hook does, or why it hangs, finds the container.
    board.began(&container.name, attempt);
    let hook = container.lifecycle.as_ref().and_then(|l| l.post_start.as_ref());
    let hook = match hook {
        Some(hook) => {
            let host = pod.spec.as_ref().and_then(|s| s.host_network) == Some(true);
            let own = ips.first().copied();
            let address = if host { Some(context.options.address) } else { own };
            hook::run(context, pod, container, hook, address).await.err()
        }
        None => None,
    };
    Ok(Started { state, record, hook: hook.map(|error| error.to_string()) })
}

/// The image of a container, pulled if its policy wants it.
async fn image<R: Runtime>(
    context: &Context<R>,
    pod: &Pod,
    container: &Container,
) -> Result<Image, StartError> {
    let name = container.image.as_deref().unwrap_or_default();
    let policy = container
        .image_pull_policy
        .as_deref()
        .unwrap_or_else(|| if ImageName::is_latest(name) { "Always" } else { "IfNotPresent" });
    let note = |reason, message: String| {
        let severity = Severity::Normal;
        context.recorder.note(pod, Some(&container.name), severity, reason, message);
    };
    let here = context.images.resolve(name)?;
    let enough = |image: &Image| policy != "Always" || image.origin == Origin::Local;
    match here {
        Some(image) if enough(&image) => {
            note("Pulled", format!("Container image {name:?} already present on machine"));
            Ok(image)
        }
        _ if policy == "Never" => Err(StartError::NeverPull(name.into())),
        _ => {
            note("Pulling", format!("Pulling image {name:?}"));
            let begun = Instant::now();
            let credentials = super::pull_secret::credentials(&context.client, pod, name).await;
            let image =
                context.images.pull(name, credentials.unwrap_or(Credentials::Anonymous)).await?;
            let took = begun.elapsed().as_millis();
            note("Pulled", format!("Successfully pulled image {name:?} in {took}ms"));
            Ok(image)
        }
    }
}

/// Gathers what a container's files are made of, and has them written by a thread that may wait for the disk; answers the
/// mounts to make.
async fn bundle_for<R: Runtime>(
    context: &Arc<Context<R>>,
    pod: &Arc<Pod>,
    container: &Container,
    image: &Image,
    dir: &Path,
    bundle: &Path,
    ips: &[IpAddr],
) -> Result<Vec<PodMount>, StartError> {
    let addresses = Addresses { pod: ips.to_vec(), host: Some(context.options.address) };
    let references = references(&context.client, pod).await?;
    let volumes = prepare(context, pod, &addresses).await?;
    let env = environment(pod, container, &image.defaults, &references, &addresses)?;
    let binds = volumes.binds(container, &env)?;
    let draft = Draft {
        context: context.clone(),
        pod: pod.clone(),
        container: container.clone(),
        image: image.clone(),
        dir: dir.to_owned(),
        bundle: bundle.to_owned(),
        env,
        binds,
    };
    let written = tokio::task::spawn_blocking(move || draft.write()).await;
    written.map_err(|e| file("writing", bundle)(std::io::Error::other(e)))?
}

/// A bundle to be written.
struct Draft<R> {
    context: Arc<Context<R>>,
    pod: Arc<Pod>,
    container: Container,
    image: Image,
    dir: PathBuf,
    bundle: PathBuf,
    env: BTreeMap<String, String>,
    binds: Vec<Bind>,
}

impl<R: Runtime> Draft<R> {
    fn write(mut self) -> Result<Vec<PodMount>, StartError> {
        let (context, image, bundle) = (&self.context, &self.image, &self.bundle);
        let Some(spec) = &self.pod.spec else { return Ok(Vec::new()) };
        let users = UserFiles {
            passwd: read_in_image(image, "etc/passwd").unwrap_or_default(),
            group: read_in_image(image, "etc/group").unwrap_or_default(),
        };
        let user = image.defaults.user.as_deref();
        let who = identity(spec, &self.container, user, &users)?;
        fs::create_dir_all(&self.dir).map_err(file("making", &self.dir))?;
        context.images.hold(image, &self.dir)?;
        if bundle.exists() {
            // A start that failed half-way.
            crate::image::discard(bundle, &context.trash());
        }
        let mut mounts = folders(image, bundle)?;
        mounts.extend(parts_of_volumes(&mut self.binds, bundle));
        let pod_dir = context.pod_dir(self.pod.metadata.uid.as_deref().unwrap_or_default());
        let own = own_files(&self.container, spec, &pod_dir, bundle, &self.binds)?;
        self.binds.extend(own);
        let config = config(&Inputs {
            spec,
            container: &self.container,
            image: &image.defaults,
            env: &self.env,
            identity: &who,
            binds: &self.binds,
            hostname: &hostname(&self.pod, spec),
            available: &context.capabilities,
        })?;
        let path = bundle.join("config.json");
        fs::write(&path, config.to_string()).map_err(file("writing", &path))?;
        Ok(mounts)
    }
}

/// Has parts of volumes mounted to places of our own, which no container can change, and binds those instead.
fn parts_of_volumes(binds: &mut [Bind], bundle: &Path) -> Vec<PodMount> {
    let parts = binds.iter_mut().filter_map(|bind| Some((bind.sub_path.take()?, bind)));
    parts
        .enumerate()
        .map(|(number, (sub_path, bind))| {
            let target = bundle.join("parts").join(number.to_string());
            let volume = std::mem::replace(&mut bind.source, target.clone());
            PodMount::Beneath { target, volume, sub_path }
        })
        .collect()
}

/// Makes the folders of a root file system, and says what to mount on them.
fn folders(image: &Image, bundle: &Path) -> Result<Vec<PodMount>, StartError> {
    let make = |path: PathBuf| -> Result<PathBuf, StartError> {
        fs::create_dir_all(&path).map_err(file("making", &path))?;
        Ok(path)
    };
    let root = make(bundle.join("rootfs"))?;
    let mut mounts = vec![PodMount::Overlay {
        target: root.clone(),
        lower: image.layers.clone(),
        upper: make(bundle.join("upper"))?,
        work: make(bundle.join("work"))?,
    }];
    for tree in &image.trees {
        let own = bundle.join("trees").join(&tree.at);
        // The upper folder becomes the tree's own folder, so it has the mode of what it covers.
        let upper = make(own.join("upper"))?;
        if let Some(Ok(meta)) = tree.layers.last().map(fs::metadata) {
            fs::set_permissions(&upper, meta.permissions()).map_err(file("preparing", &upper))?;
        }
        mounts.push(PodMount::Overlay {
            target: root.join(&tree.at),
            lower: tree.layers.clone(),
            upper,
            work: make(own.join("work"))?,
        });
    }
    let upper = bundle.join("upper");
    if let Some(Ok(meta)) = image.layers.first().map(fs::metadata) {
        fs::set_permissions(&upper, meta.permissions()).map_err(file("preparing", &upper))?;
    }
    Ok(mounts)
}

/// The files every container gets from its pod, unless a volume is mounted there.
fn own_files(
    container: &Container,
    spec: &PodSpec,
    pod_dir: &Path,
    bundle: &Path,
    taken: &[Bind],
) -> Result<Vec<Bind>, StartError> {
    let privileged = container.security_context.as_ref().and_then(|s| s.privileged) == Some(true);
    let bind = |source: PathBuf, target: &str| Bind {
        source,
        sub_path: None,
        target: target.into(),
        read_only: false,
    };
    let mut binds = vec![
        bind(pod_dir.join("hosts"), "/etc/hosts"),
        bind(pod_dir.join("resolv.conf"), "/etc/resolv.conf"),
    ];
    if spec.host_network != Some(true) {
        binds.push(bind(pod_dir.join("hostname"), "/etc/hostname"));
    }
    if !privileged {
        binds.push(bind(pod_dir.join("shm"), "/dev/shm"));
        let message = container.termination_message_path.as_deref().unwrap_or(MESSAGE_PATH);
        let path = bundle.join("termination-log");
        fs::write(&path, "").map_err(file("making", &path))?;
        // Whoever the container runs as may write it.
        let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666);
        fs::set_permissions(&path, mode).map_err(file("preparing", &path))?;
        binds.push(bind(path, message));
    }
    binds.retain(|own| !taken.iter().any(|t| t.target == own.target));
    Ok(binds)
}

const MESSAGE_PATH: &str = "/dev/termination-log";

/// What a container left as its last words: bounded, and only if there are any.
pub(crate) fn last_words(
    bundle: &Path,
    log: &Path,
    container: &Container,
    code: i32,
) -> Option<String> {
    /// The bounds that the API documents.
    const MAX_MESSAGE: usize = 4096;
    const MAX_LOG: usize = 2048;
    let tail = |path: &Path, max: usize| -> Option<String> {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let mut file = fs::File::open(path).ok()?;
        let size = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(max as u64))).ok()?;
        let mut bytes = Vec::new();
        file.take(max as u64).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned()).filter(|text| !text.is_empty())
    };
    let said = tail(&bundle.join("termination-log"), MAX_MESSAGE);
    let fallback = container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
    if said.is_some() || !fallback || code == 0 {
        return said;
    }
    let lines = tail(log, MAX_LOG)?;
    // Without the time, stream and tag that each line of a log begins with.
    let text = lines.lines().filter_map(|line| line.splitn(4, ' ').nth(3));
    Some(text.collect::<Vec<_>>().join("\n"))
}

fn file(attempted: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::File { attempted, path, source }
}
