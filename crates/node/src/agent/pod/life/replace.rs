//! Containers that have to begin anew because the pod wants another image, or other resources that a running process can't be given.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::{Base, Life};
use crate::{
    agent::{
        pod::slot::{Role, State},
        recorder::Severity,
    },
    runtime::Runtime,
};

impl<R: Runtime> Life<R> {
    /// Ends what runs with another image than the pod wants, and forgets what the former image has failed at.
    ///
    /// As everywhere in Kubernetes the old container goes before the new image is there: one that can't be had leaves none running.
    pub(super) fn follow_images(&mut self) {
        if self.base != Base::There {
            return;
        }
        let spec = self.pod.spec.as_ref();
        let given =
            spec.into_iter().flat_map(|s| s.init_containers.iter().flatten().chain(&s.containers));
        let wanted: Vec<(String, String)> =
            given.map(|c| (c.name.clone(), c.image.clone().unwrap_or_default())).collect();
        for (name, image) in wanted {
            let Some(slot) = self.slots.iter_mut().find(|s| s.name == name) else { continue };
            let differs =
                |known: &Option<String>| known.as_ref().is_some_and(|known| *known != image);
            match slot.state {
                // Init containers do their work once, with the image they began with.
                State::Running { .. } if slot.role != Role::Init && differs(&slot.image) => {
                    let why = format!("Container {name} definition changed, will be restarted");
                    self.replace(&name, &why);
                }
                State::Waiting { .. } if differs(&slot.tried) => slot.start_afresh(),
                _ => {}
            }
        }
    }

    /// Ends a running container, to start it anew whatever the restart policy says.
    pub(super) fn replace(&mut self, name: &str, why: &str) {
        let Some(slot) = self.slots.iter_mut().find(|s| s.name == name) else { return };
        if slot.replacing {
            return;
        }
        slot.replacing = true;
        let runs = slot.image.clone();
        self.note(Some(name), Severity::Normal, "Killing", why);
        self.stop_probes(name);
        if let Some(mut container) = self.container(name).cloned() {
            // It is asked to stop the way its own image says.
            container.image = runs.or(container.image);
            self.end_container(container, None);
        }
    }

    /// The pod with the resources that this node has granted, from which containers are started. The object says what is wanted.
    pub(super) fn granted(&self) -> Arc<Pod> {
        let mut pod = self.pod.clone();
        for slot in &self.slots {
            let same = self.container(&slot.name).is_none_or(|container| {
                container.resources.clone().unwrap_or_default() == slot.allocated
            });
            if same {
                continue;
            }
            let Some(spec) = &mut Arc::make_mut(&mut pod).spec else { continue };
            let all = spec.init_containers.iter_mut().flatten().chain(&mut spec.containers);
            for container in all.filter(|container| container.name == slot.name) {
                container.resources = Some(slot.allocated.clone());
            }
        }
        pod
    }
}
