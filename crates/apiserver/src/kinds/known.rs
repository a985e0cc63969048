//! The custom kinds that are served at this moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::definitions::{is_established, kind_of, resource};
use super::kind::Kind;
use crate::object::Object;
use crate::server::Api;
use crate::store::Query;

/// The custom kinds that are served, by definition. A status write of a definition changes no kind, and reading a large
/// schema costs milliseconds, so a kind is read again only when its definition's generation has moved.
#[derive(Default)]
pub(crate) struct Known(BTreeMap<String, (String, u64, Arc<Kind>)>);

impl Known {
    /// Serves exactly the established definitions.
    pub(crate) fn register(&mut self, api: &Api) {
        let mut established = BTreeMap::new();
        let mut changed = false;
        for object in api.store.list(&Query::all(&resource())).items {
            let meta = object.meta();
            // A deletion mark raises the generation too, but a definition that is going changes no more.
            let kept = self.0.get(&meta.name).filter(|(uid, generation, _)| {
                *uid == meta.uid && (*generation == meta.generation || meta.is_deleting())
            });
            let kind = match kept {
                Some((_, _, kind)) => kind.clone(),
                None => {
                    let definition = object.value();
                    let Some(kind) = kind_of(&definition).filter(|_| is_established(&definition))
                    else {
                        continue;
                    };
                    changed = true;
                    Arc::new(kind)
                }
            };
            established.insert(meta.name.clone(), (meta.uid.clone(), meta.generation, kind));
        }
        changed |= established.len() != self.0.len();
        self.0 = established;
        if changed {
            self.serve(api);
        }
    }

    /// Serves a definition just before it is established: who reads that it is may use it at once.
    pub(crate) fn admit(&mut self, api: &Api, definition: &Object) {
        let meta = definition.meta();
        if self.0.contains_key(&meta.name) {
            return;
        }
        if let Some(kind) = kind_of(&definition.value()) {
            let known = (meta.uid.clone(), meta.generation, Arc::new(kind));
            self.0.insert(meta.name.clone(), known);
            self.serve(api);
        }
    }

    fn serve(&self, api: &Api) {
        api.kinds.replace_custom(self.0.values().map(|(_, _, kind)| kind.clone()).collect());
    }
}
