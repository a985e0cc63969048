//! What all pods of a node share.

use std::{path::PathBuf, sync::Arc};

use kube::Client;
use tokio::sync::Semaphore;

use super::{Bundles, NodeOptions, recorder::Recorder, room::Room};
use crate::{image::ImageStore, runtime::Runtime};

/// Starts that run at once. More only makes all of them slower, the first ready one included.
const STARTS_PER_PROCESSOR: usize = 4;

pub(crate) struct Context<R> {
    pub(crate) client: Client,
    pub(crate) runtime: R,
    pub(crate) images: Arc<ImageStore>,
    pub(crate) options: NodeOptions,
    /// The Node object's name.
    pub(crate) node: String,
    pub(crate) recorder: Recorder,
    /// Capabilities that can be given at all.
    pub(crate) capabilities: Vec<String>,
    pub(crate) starts: Semaphore,
    pub(crate) room: Room,
}

impl<R: Runtime> Context<R> {
    /// A pod's private folder.
    pub(crate) fn pod_dir(&self, uid: &str) -> PathBuf {
        self.options.data_dir.join("pods").join(uid)
    }

    /// What is moved here is deleted in the background.
    pub(crate) fn trash(&self) -> PathBuf {
        self.options.data_dir.join("trash")
    }

    /// The log of one run of a container.
    pub(crate) fn log_path(&self, uid: &str, container: &str, attempt: u32) -> PathBuf {
        self.pod_dir(uid).join("logs").join(container).join(format!("{attempt}.log"))
    }
}

/// As many turns as starts may run at once. What is only pretended costs nothing and waits for nobody.
pub(crate) fn starts(bundles: Bundles) -> Semaphore {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Semaphore::new(match bundles {
        Bundles::Prepared => processors * STARTS_PER_PROCESSOR,
        Bundles::Skipped => Semaphore::MAX_PERMITS,
    })
}
