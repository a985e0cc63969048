//! What a container was started with, kept by the runtime for the agent that comes after this one. The status can't say it: it may
//! be one write behind.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;

const IMAGE: &str = "sandbank/image";
const IMAGE_ID: &str = "sandbank/image-id";
const RESOURCES: &str = "sandbank/resources";

/// What runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record {
    /// Its image, as the pod named it.
    pub(crate) image: String,
    /// The image's digest.
    pub(crate) image_id: String,
    /// What it may use.
    pub(crate) resources: ResourceRequirements,
}

impl Record {
    /// As the runtime keeps it.
    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        // Two maps with text as keys always turn into JSON.
        let resources = serde_json::to_string(&self.resources).unwrap_or_default();
        let pairs = [
            (IMAGE, self.image.clone()),
            (IMAGE_ID, self.image_id.clone()),
            (RESOURCES, resources),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value)).into()
    }

    /// From what the runtime kept; nothing for a container that was started by an agent which left no record.
    pub(crate) fn of(annotations: &BTreeMap<String, String>) -> Option<Self> {
        Some(Self {
            image: annotations.get(IMAGE)?.clone(),
            image_id: annotations.get(IMAGE_ID)?.clone(),
            resources: serde_json::from_str(annotations.get(RESOURCES)?).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let resources =
            serde_json::json!({ "limits": { "cpu": "1" }, "requests": { "memory": "1Gi" } });
        let record = Record {
            image: "host".into(),
            image_id: "sha256:0".into(),
            resources: serde_json::from_value(resources).unwrap(),
        };
        assert_eq!(Record::of(&record.annotations()), Some(record));
        assert_eq!(Record::of(&BTreeMap::new()), None);
    }
}
