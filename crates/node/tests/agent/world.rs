//! A node in front of an API server in memory, and words to tell stories with.

use std::{
    fs::File,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd as _,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use apiserver::testing::TestServer;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use sandbank_node::{
    Bundles, Capacity, Node, NodeOptions,
    net::{NetworkConfig, Outbound},
    runtime::{
        ContainerId, ContainerSetup, ContainerState, ExecSetup, FakeRuntime, OciConfig, OciRuntime,
        PodId, PodSetup, PodState, Resize, Runtime, RuntimeError, RuntimeEvent, Streams,
    },
};
use serde_json::Value;
use tokio::{net::TcpStream, sync::mpsc};
use tokio_util::sync::CancellationToken;

/// Real containers on a loaded machine are ready in a second; what takes longer than this is broken.
const PATIENCE: Duration = Duration::from_secs(40);

pub struct World {
    pub client: Client,
    pub node: Option<Node>,
    pub dir: tempfile::TempDir,
    _server: TestServer,
    oci: Option<(OciConfig, File)>,
}

/// The fake runtime, kept by the test too.
#[derive(Clone)]
pub struct Shared(pub Arc<FakeRuntime>);

impl Runtime for Shared {
    async fn start_pod(&self, setup: PodSetup) -> Result<Vec<IpAddr>, RuntimeError> {
        self.0.start_pod(setup).await
    }
    async fn start_container(&self, setup: ContainerSetup) -> Result<ContainerState, RuntimeError> {
        self.0.start_container(setup).await
    }
    async fn signal(&self, id: &ContainerId, signal: i32) -> Result<(), RuntimeError> {
        self.0.signal(id, signal).await
    }
    async fn resize(&self, id: &PodId, resize: Resize) -> Result<(), RuntimeError> {
        self.0.resize(id, resize).await
    }
    async fn remove_pod(&self, id: &PodId) -> Result<(), RuntimeError> {
        self.0.remove_pod(id).await
    }
    async fn exec(&self, id: &ContainerId, setup: ExecSetup) -> Result<Streams, RuntimeError> {
        self.0.exec(id, setup).await
    }
    async fn attach(&self, id: &ContainerId, stdin: bool) -> Result<Streams, RuntimeError> {
        self.0.attach(id, stdin).await
    }
    async fn connect(&self, to: SocketAddr) -> Result<TcpStream, RuntimeError> {
        self.0.connect(to).await
    }
    async fn pods(&self) -> Result<Vec<PodState>, RuntimeError> {
        self.0.pods().await
    }
    fn events(&self) -> mpsc::UnboundedReceiver<RuntimeEvent> {
        self.0.events()
    }
}

impl World {
    async fn empty() -> Self {
        let server = TestServer::start().await;
        let client = Client::new(server.service(), "default");
        let dir = tempfile::tempdir().expect("a temporary folder");
        Self { client, node: None, dir, _server: server, oci: None }
    }

    /// A node whose containers exist only in memory.
    pub async fn fake(capacity: Option<Capacity>) -> (Self, Arc<FakeRuntime>) {
        let mut world = Self::empty().await;
        let runtime = Arc::new(FakeRuntime::new(Duration::from_millis(1)));
        let options = NodeOptions {
            capacity,
            bundles: Bundles::Skipped,
            ..NodeOptions::new(world.dir.path())
        };
        world.start(Shared(runtime.clone()), options).await;
        (world, runtime)
    }

    /// A node that runs real containers in a network namespace of its own.
    pub async fn real() -> Self {
        let mut world = Self::empty().await;
        let network = fresh_network();
        let mut config = OciConfig::new(world.dir.path().join("pods"));
        config.program = env!("CARGO_BIN_EXE_sandbank-shim").into();
        config.group = format!("sandbank-agent-{}-{}", std::process::id(), fastrand::u32(..));
        config.network = NetworkConfig {
            host: Some(format!("/proc/self/fd/{}", network.as_raw_fd()).into()),
            outbound: Outbound::Closed,
            prepared: 0,
            ..NetworkConfig::default()
        };
        world.oci = Some((config, network));
        world.start_real().await;
        world
    }

    async fn start_real(&mut self) {
        let (config, _) = self.oci.as_ref().expect("a world with real containers");
        std::fs::create_dir_all(&config.pods).expect("writable");
        let runtime = OciRuntime::open(config.clone()).await.expect("this machine runs containers");
        let options = NodeOptions::new(self.dir.path());
        self.start(runtime, options).await;
    }

    async fn start(&mut self, runtime: impl Runtime, options: NodeOptions) {
        let stop = CancellationToken::new();
        let node = Node::start(self.client.clone(), runtime, options, stop).await;
        self.node = Some(node.expect("the node starts"));
    }

    /// Another agent comes, for the pods that the one before left.
    pub async fn start_again(&mut self) {
        self.start_real().await;
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    /// Creates a pod and answers it.
    pub async fn create(&self, name: &str, spec: Value) -> Pod {
        let pod = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": spec,
        });
        let pod = serde_json::from_value(pod).expect("a pod");
        self.pods().create(&PostParams::default(), &pod).await.expect("the pod is valid")
    }

    /// Creates any object of the core group in the default namespace.
    pub async fn create_object<K>(&self, value: Value)
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
            + serde::Serialize
            + serde::de::DeserializeOwned
            + Clone
            + std::fmt::Debug,
        K::DynamicType: Default,
    {
        let api: Api<K> = Api::default_namespaced(self.client.clone());
        let object = serde_json::from_value(value).expect("an object");
        api.create(&PostParams::default(), &object).await.expect("the object is valid");
    }

    /// Patches a pod, or a subresource of it, as `kubectl patch` would.
    pub async fn patch(&self, name: &str, subresource: Option<&str>, patch: Value) -> Pod {
        let (api, params) = (self.pods(), PatchParams::default());
        let patch = Patch::Strategic(patch);
        let answer = match subresource {
            None => api.patch(name, &params, &patch).await,
            Some(part) => api.patch_subresource(part, name, &params, &patch).await,
        };
        answer.expect("the patch is valid")
    }

    /// What the kernel has been told of a container: files of its control group, by name.
    pub fn kernel_limit(&self, pod: &Value, container: &str, files: &[&str]) -> String {
        let (config, _) = self.oci.as_ref().expect("a world with real containers");
        let base = sandbank_node::cgroup::Group::base(&config.group).expect("it was made before");
        let uid = pod["metadata"]["uid"].as_str().expect("a uid");
        let mut folders: Vec<PathBuf> = base.dirs().map(|dir| dir.join(uid)).collect();
        while let Some(folder) = folders.pop() {
            if folder.ends_with(container) {
                let found = files.iter().find_map(|f| std::fs::read_to_string(folder.join(f)).ok());
                if let Some(text) = found {
                    return text.trim().to_owned();
                }
            }
            let inside = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            folders.extend(inside.map(|entry| entry.path()).filter(|path| path.is_dir()));
        }
        panic!("no {files:?} for {container}");
    }

    /// Waits until a pod is as wanted; every version of it is looked at.
    pub async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut versions = std::pin::pin!(watcher(self.pods(), config).applied_objects());
        let mut last = Value::Null;
        let wait = async {
            while let Some(version) = versions.next().await {
                last = serde_json::to_value(version.expect("a watch")).expect("JSON");
                if wanted(&last) {
                    return;
                }
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{name}: {what}; it is {:#}\n{:#?}", last["status"], self.events(name).await);
        }
        last
    }

    pub async fn until_ready(&self, name: &str) -> Value {
        self.until(name, "it should be ready", |pod| condition(pod, "Ready")["status"] == "True")
            .await
    }

    /// Deletes a pod and waits until it is gone.
    pub async fn delete(&self, name: &str) {
        let api = self.pods();
        let params = DeleteParams { grace_period_seconds: Some(1), ..DeleteParams::default() };
        api.delete(name, &params).await.expect("the pod can be deleted");
        let gone =
            kube::runtime::wait::await_condition(api, name, |pod: Option<&Pod>| pod.is_none());
        tokio::time::timeout(PATIENCE, gone).await.expect("it goes").expect("a watch");
    }

    /// Reasons and messages of a pod's events.
    pub async fn events(&self, name: &str) -> Vec<(String, String)> {
        let api: Api<Event> = Api::default_namespaced(self.client.clone());
        let events = api.list(&ListParams::default()).await.expect("events");
        let of = events.into_iter().filter(|e| e.involved_object.name.as_deref() == Some(name));
        of.map(|e| (e.reason.unwrap_or_default(), e.message.unwrap_or_default())).collect()
    }

    /// Waits until an event of this reason is told of a pod.
    pub async fn until_event(&self, name: &str, reason: &str) -> String {
        let api: Api<Event> = Api::default_namespaced(self.client.clone());
        let mut told = std::pin::pin!(watcher(api, watcher::Config::default()).applied_objects());
        let wait = async {
            loop {
                let event = told.next().await.expect("a watch").expect("a watch");
                let about = event.involved_object.name.as_deref() == Some(name);
                if about && event.reason.as_deref() == Some(reason) {
                    return event.message.unwrap_or_default();
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("no event {reason}"))
    }

    /// Runs a shell script in a container; answers its output and exit code.
    pub async fn run(&self, pod: &Value, container: &str, script: &str) -> (String, i32) {
        use tokio::io::AsyncReadExt as _;
        let setup = ExecSetup {
            argv: ["sh", "-c", script].map(str::to_owned).into(),
            env: Default::default(),
            tty: false,
            stdin: false,
        };
        let access = self.node.as_ref().expect("it runs").access();
        let uid = pod["metadata"]["uid"].as_str().expect("a uid");
        let mut streams = access.exec(uid, container, setup).await.expect("the container runs");
        let mut said = String::new();
        let read = async {
            streams.stdout.take().expect("output").read_to_string(&mut said).await.expect("text");
        };
        let ((), exit) = tokio::join!(read, streams.exit);
        (said, exit.expect("it ends").code)
    }

    /// What a container has said.
    pub async fn log(&self, pod: &Value, container: &str) -> String {
        let options = sandbank_node::LogOptions { follow: true, ..Default::default() };
        let access = self.node.as_ref().expect("it runs").access();
        let uid = pod["metadata"]["uid"].as_str().expect("a uid");
        let pieces = access.logs(uid, container, options).expect("a log");
        let all: Vec<_> = pieces.map(|piece| piece.expect("readable")).collect().await;
        String::from_utf8(all.concat()).expect("text")
    }

    /// Ends everything.
    pub async fn end(mut self) {
        self.node.take().expect("it runs").stop_with_pods().await;
        if let Some((config, _)) = &self.oci {
            let runtime = OciRuntime::open(config.clone()).await.expect("it opened before");
            assert_eq!(runtime.pods().await.expect("it answers").len(), 0);
            runtime.dismantle().await.expect("nothing is left");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A failed test: the shims are in the tree of groups, and so is all they started.
        if let Some((config, _)) = &self.oci
            && let Ok(group) = sandbank_node::cgroup::Group::base(&config.group)
        {
            let _ = group.kill();
            let _ = group.remove();
        }
    }
}

/// A condition of a pod; null if it has none of that type.
pub fn condition<'a>(pod: &'a Value, kind: &str) -> &'a Value {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.find(|c| c["type"] == kind).unwrap_or(&Value::Null)
}

/// The status of a pod's first container.
pub fn container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

#[allow(unsafe_code)]
fn fresh_network() -> File {
    let thread = std::thread::spawn(|| {
        // SAFETY: only CLONE_NEWNET, on a thread that ends right after.
        unsafe {
            rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET).expect("root may");
        }
        File::open("/proc/thread-self/ns/net").expect("every thread has one")
    });
    thread.join().expect("the thread does not panic")
}
