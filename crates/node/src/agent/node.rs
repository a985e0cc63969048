//! The node's public entry: starts everything, and stops it.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use kube::Client;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info};

use super::{
    Bundles, NodeError, NodeOptions, PodAccess,
    context::Context,
    dispatch::{Dispatch, Pods},
    machine, machine_capacity,
    recorder::Recorder,
    register,
    room::Room,
};
use crate::{image::ImageStore, oci_config, private, runtime::Runtime, volume};

/// What was thrown away is deleted this often. Deleting stalls other disk work, so it is done rarely and by one thread.
const EMPTY_TRASH: Duration = Duration::from_secs(5);

/// A running node.
pub struct Node {
    name: String,
    access: PodAccess,
    images: Arc<ImageStore>,
    stop: CancellationToken,
    tasks: TaskTracker,
    remove_all: Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

impl Node {
    /// Adopts the pods that the runtime still holds, registers the node, and runs pods until `shutdown` is cancelled.
    /// Cancelling leaves the pods running: the next start adopts them.
    pub async fn start(
        client: Client,
        runtime: impl Runtime,
        options: NodeOptions,
        shutdown: CancellationToken,
    ) -> Result<Self, NodeError> {
        for part in ["pods", "trash", "volumes"] {
            let path = options.data_dir.join(part);
            private::folder(&path).map_err(|source| NodeError::Folder {
                attempted: "making",
                path,
                source,
            })?;
        }
        let images = open_images(&options).await?;
        let name = options.name.clone().unwrap_or_else(machine::host_name);
        let capacity = options.capacity.unwrap_or_else(machine_capacity);
        let held = runtime.pods().await?;
        let events = runtime.events();
        register::register(&client, &name, &options, capacity).await?;
        info!(node = name, pods = held.len(), "the node is ready");

        let stop = shutdown.child_token();
        let tasks = TaskTracker::new();
        tasks.spawn(register::heartbeat(client.clone(), name.clone(), stop.clone()));
        if options.bundles == Bundles::Prepared {
            let data_dir = options.data_dir.clone();
            tasks.spawn(volume::provision(client.clone(), data_dir.clone(), stop.clone()));
            tasks.spawn(empty_trash(images.clone(), data_dir.join("trash"), stop.clone()));
            // The first pod should not wait for the snapshot of /etc; if it fails, that pod says why.
            let first = images.clone();
            tokio::task::spawn_blocking(move || first.resolve("host").map(drop));
        }
        let context = Arc::new(Context {
            recorder: Recorder::start(client.clone(), name.clone()),
            capabilities: oci_config::available(),
            starts: super::context::starts(options.bundles),
            room: Room::new(capacity),
            images: images.clone(),
            node: name.clone(),
            client,
            runtime,
            options,
        });
        let pods = Pods::default();
        let dispatch = Dispatch::new(context.clone(), pods.clone(), held, stop.clone());
        tasks.spawn(dispatch.run(events));
        tasks.close();
        let remove_all = {
            let context = context.clone();
            move || -> BoxFuture<'static, ()> {
                let context = context.clone();
                Box::pin(async move { remove_all(&context).await })
            }
        };
        let access = PodAccess::new(context, pods);
        Ok(Self { name, access, images, stop, tasks, remove_all: Box::new(remove_all) })
    }

    /// The name of the Node object.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reaches into the pods: exec, attach, logs, connections.
    pub fn access(&self) -> PodAccess {
        self.access.clone()
    }

    /// The images of this node.
    pub fn images(&self) -> Arc<ImageStore> {
        self.images.clone()
    }

    /// Stops working and leaves the pods running.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }

    /// Stops working and ends every pod. Their objects stay: the next start runs them anew.
    pub async fn stop_with_pods(self) {
        self.stop.cancel();
        self.tasks.wait().await;
        (self.remove_all)().await;
    }
}

async fn open_images(options: &NodeOptions) -> Result<Arc<ImageStore>, NodeError> {
    let (data_dir, private) = (options.data_dir.clone(), options.private_paths.clone());
    let open = move || ImageStore::open_hiding(&data_dir, &private);
    let opened = tokio::task::spawn_blocking(open).await;
    let opened = opened.map_err(|e| NodeError::Folder {
        attempted: "opening the images in",
        path: options.data_dir.clone(),
        source: std::io::Error::other(e),
    })?;
    Ok(Arc::new(opened?))
}

async fn remove_all<R: Runtime>(context: &Arc<Context<R>>) {
    let held = match context.runtime.pods().await {
        Ok(held) => held,
        Err(error) => {
            debug!(%error, "asking the runtime for its pods");
            return;
        }
    };
    let each = held.iter().map(|pod| context.runtime.remove_pod(&pod.setup.id));
    for error in futures::future::join_all(each).await.into_iter().filter_map(Result::err) {
        debug!(%error, "removing a pod");
    }
}

async fn empty_trash(images: Arc<ImageStore>, trash: std::path::PathBuf, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EMPTY_TRASH) => {}
        }
        let (images, trash) = (images.clone(), trash.clone());
        let empty = move || {
            crate::image::empty_trash(&trash);
            images.empty_trash();
        };
        if let Err(error) = tokio::task::spawn_blocking(empty).await {
            debug!(%error, "emptying the trash");
        }
    }
}
