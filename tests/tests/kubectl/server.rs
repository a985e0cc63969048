//! A server over TLS for one transcript, and the kubectl that talks to it.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::Arc,
};

use apiserver::{
    ApiServer, Converter,
    auth::{Credentials, Identity},
    streams::PodStreams,
    tls,
};
use controllers::Options;
use dialects::{kruise, x_k8s};
use sandbank_tests::simulator::node::{self, Mood, NodeTemper};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::transcript::{Shell, play};

/// A server with everything a transcript needs; stopped when it has played one.
pub struct Server {
    server: ApiServer,
    shell: Shell,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    /// Holds kubeconfig, caches and whatever commands write; goes with the server.
    _home: TempDir,
}

impl Server {
    /// Serves an empty cluster; `pods` answers exec and logs.
    pub async fn start(pods: Arc<dyn PodStreams>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let bin = home.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(kubectl(), bin.join("kubectl")).unwrap();

        let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
        let here = home.path();
        fs::copy(sources.join("tests/kubectl/boxes.yaml"), here.join("boxes.yaml")).unwrap();
        symlink(sources.join("../examples"), here.join("examples")).unwrap();
        for (file, definitions) in [
            ("definitions.json", x_k8s::crds::crds()),
            ("definitions-of-openkruise.json", kruise::crds::crds()),
        ] {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": definitions});
            fs::write(here.join(file), list.to_string()).unwrap();
        }

        let credentials = Credentials::generate(&[], jiff::Timestamp::now()).unwrap();
        let authority = credentials.authority().certificate().to_owned();
        let mut builder = ApiServer::builder().pods(pods).root_certificate(authority);
        for kind in x_k8s::Kind::ALL {
            builder = builder.converter(kind.group(), kind.as_str(), Arc::new(Versions));
        }
        let server = builder.open().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let kubeconfig = home.path().join("kubeconfig");
        credentials.kubeconfig(&address).write(&kubeconfig).unwrap();

        let stop = CancellationToken::new();
        let serving = {
            let (router, stop) = (server.router(), stop.clone());
            tokio::spawn(async move {
                tls::serve(router, listener, &credentials, stop).await.unwrap();
            })
        };
        let shell = Shell { home: home.path().to_owned(), kubeconfig, bin };
        Self { server, shell, stop, serving, _home: home }
    }

    /// Puts the real controllers behind it, and a machine that pretends to run pods.
    pub fn with_controllers(self) -> Self {
        let client =
            || kube::Client::new(self.server.service(Identity::system("transcript")), "default");
        let temper = NodeTemper { explains: true, ..NodeTemper::default() };
        let (machine, stop) = (node::run(client(), temper, Mood::default(), 1), self.stop.clone());
        let run = controllers::run(client(), Options::default(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = machine => {}
                ended = run => ended.unwrap(),
            }
        });
        self
    }

    /// Plays a transcript.
    pub async fn play(self, file: &str) {
        play(file, &self.shell).await;
        self.stop.cancel();
        self.server.close().await;
        self.serving.await.unwrap();
    }
}

/// The versions of the sandbox kinds become each other as in `sandbank up`.
struct Versions;

impl Converter for Versions {
    fn convert(&self, object: Value, api_version: &str) -> Result<Value, String> {
        // The dialect knows its versions by their bare names.
        let version = api_version.rsplit_once('/').map_or(api_version, |(_, version)| version);
        x_k8s::convert::convert(object, version).map_err(|error| error.to_string())
    }
}

/// The kubectl under test: `$KUBECTL`, or the one in the path.
fn kubectl() -> PathBuf {
    if let Some(path) = env::var_os("KUBECTL") {
        let path = PathBuf::from(path);
        assert!(is_program(&path), "KUBECTL={} is not a program", path.display());
        return path;
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&folders).map(|folder| folder.join("kubectl")).find(is_program);
    found.expect("these tests need kubectl: put it into the PATH or name it in $KUBECTL")
}

fn is_program(path: &PathBuf) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
