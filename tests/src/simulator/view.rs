//! What a bystander sees: every object as the store has it, change by change, in the order of revisions.

use std::collections::BTreeMap;

use serde_json::Value;

/// Where an object is: resource, namespace, name.
pub type Place = (String, String, String);

/// One change to one object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The revision it got.
    pub revision: u64,
    /// Where.
    pub place: Place,
    /// Before; none for a creation.
    pub old: Option<Value>,
    /// After; none for a removal.
    pub new: Option<Value>,
    /// Milliseconds of simulated time.
    pub at: u64,
}

/// The state after all changes seen so far.
#[derive(Clone, Debug, Default)]
pub struct View {
    objects: BTreeMap<Place, Value>,
}

impl View {
    /// Takes in a change.
    pub fn apply(&mut self, change: &Change) {
        match &change.new {
            Some(new) => self.objects.insert(change.place.clone(), new.clone()),
            None => self.objects.remove(&change.place),
        };
    }

    /// One object.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.objects.get(&(resource.into(), namespace.into(), name.into()))
    }

    /// All of a resource.
    pub fn all<'a>(&'a self, resource: &'a str) -> impl Iterator<Item = (&'a Place, &'a Value)> {
        let from = (resource.to_owned(), String::new(), String::new());
        self.objects.range(from..).take_while(move |(place, _)| place.0 == resource)
    }
}

/// The controlling owner's kind and name and uid.
pub fn controller(object: &Value) -> Option<(&str, &str, &str)> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    Some((owner["kind"].as_str()?, owner["name"].as_str()?, owner["uid"].as_str()?))
}

/// The object's life.
pub fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// A condition, if the object has it.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

/// Whether a condition is True.
pub fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|c| c["status"] == "True")
}

/// Whether deletion was asked for.
pub fn is_leaving(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}
