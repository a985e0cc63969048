//! The newest warnings about the objects of a chain.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use controllers::why::{Link, Standing};
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde::Serialize;

use crate::verbs::connect::Server;

/// The newest warnings tell the state; older ones tell history, for which there is `kubectl events`.
const SHOWN: usize = 3;
/// A namespace in trouble may have thousands of events; these are plenty to find the newest of a few objects.
const READ: u32 = 1000;

/// One warning, however often it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// How often.
    pub count: i32,
}

/// Warnings by object, the newest first.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Warnings(BTreeMap<String, Vec<Warning>>);

impl Warnings {
    /// Reads the warnings about the objects of a chain that are not well. Without the right to read events the
    /// chain is told without them.
    pub async fn about(server: &Server, chain: &Link) -> Self {
        if chain.standing == Standing::Well {
            return Self::default();
        }
        let api: Api<Event> = Api::namespaced(server.client.clone(), &server.namespace);
        let warnings = ListParams::default().fields("type=Warning").limit(READ);
        let events = api.list(&warnings).await.map(|list| list.items).unwrap_or_default();
        Self::pick(events, chain)
    }

    fn pick(mut events: Vec<Event>, chain: &Link) -> Self {
        events.sort_by_key(|event| Reverse(last_seen(event)));
        let mut picked = BTreeMap::new();
        pick_for(chain, &events, &mut picked);
        Self(picked)
    }

    /// Those about one object.
    pub fn of(&self, link: &Link) -> &[Warning] {
        self.0.get(&key(link)).map(Vec::as_slice).unwrap_or_default()
    }
}

fn pick_for(link: &Link, events: &[Event], picked: &mut BTreeMap<String, Vec<Warning>>) {
    if link.standing != Standing::Well {
        let about_it = events.iter().filter(|event| {
            let object = &event.involved_object;
            object.kind.as_deref() == Some(link.kind.name())
                && object.name.as_deref() == Some(&*link.name.name)
        });
        let warnings: Vec<Warning> = about_it.take(SHOWN).map(warning).collect();
        if !warnings.is_empty() {
            picked.insert(key(link), warnings);
        }
    }
    for link in &link.depends_on {
        pick_for(link, events, picked);
    }
}

fn key(link: &Link) -> String {
    format!("{}/{}", link.kind.name(), link.name.name)
}

fn warning(event: &Event) -> Warning {
    let in_series = event.series.as_ref().and_then(|series| series.count);
    Warning {
        reason: event.reason.clone().unwrap_or_default(),
        message: event.message.clone().unwrap_or_default(),
        count: in_series.or(event.count).unwrap_or(1),
    }
}

fn last_seen(event: &Event) -> Option<jiff::Timestamp> {
    let in_series = event.series.as_ref().and_then(|s| s.last_observed_time.as_ref()).map(|t| t.0);
    let last = event.last_timestamp.as_ref().map(|t| t.0);
    in_series.or(last).or(event.event_time.as_ref().map(|t| t.0))
}

#[cfg(test)]
mod tests {
    use controllers::kinds::Kind;
    use engine::Key;

    use super::*;

    fn event(about: &str, reason: &str, at: &str) -> Event {
        serde_json::from_value(serde_json::json!({
            "metadata": {}, "involvedObject": {"kind": "Pod", "name": about}, "type": "Warning",
            "reason": reason, "message": "", "count": 2, "lastTimestamp": at,
        }))
        .unwrap()
    }

    #[test]
    fn the_newest_warnings_of_an_unwell_object_are_picked() {
        let pod = Link {
            kind: Kind::Pod,
            name: Key::new("default", "s"),
            standing: Standing::Stuck,
            summary: String::new(),
            reasons: Vec::new(),
            again_at: None,
            depends_on: Vec::new(),
        };
        let events = vec![
            event("s", "Old", "2026-01-01T00:00:00Z"),
            event("other", "Foreign", "2026-01-09T00:00:00Z"),
            event("s", "New", "2026-01-02T00:00:00Z"),
        ];
        let warnings = Warnings::pick(events, &pod);
        let reasons: Vec<&str> = warnings.of(&pod).iter().map(|w| w.reason.as_str()).collect();
        assert_eq!(reasons, ["New", "Old"]);
        let well = Link { standing: Standing::Well, ..pod };
        let events = vec![event("s", "Old", "2026-01-01T00:00:00Z")];
        assert!(Warnings::pick(events, &well).of(&well).is_empty());
    }
}
