//! The store held against a model: for memory and for redb, across reopening.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use futures::FutureExt;
use proptest::prelude::*;
use serde_json::json;

use super::log::{Batch, Log, LogError};
use super::*;

fn maps() -> ResourceId {
    ResourceId::new("", "configmaps")
}

fn secrets() -> ResourceId {
    ResourceId::new("", "secrets")
}

fn key(resource: ResourceId, name: &str) -> Key {
    Key::new(resource, "n", name)
}

fn draft(name: &str, content: u8) -> Draft {
    let value = json!({
        "apiVersion": "v1", "kind": "Thing", "metadata": {"name": name, "namespace": "n"}, "content": content,
    });
    Draft::new(&value).unwrap()
}

fn content(object: &Object) -> u8 {
    u8::try_from(object.value()["content"].as_u64().unwrap()).unwrap()
}

fn one(operation: Operation) -> Transaction {
    Transaction { requires: Vec::new(), operations: vec![operation] }
}

/// What a client does next. Revisions are picked by the model, so that most operations apply.
#[derive(Debug, Clone)]
enum Step {
    Create {
        place: u8,
        content: u8,
    },
    Update {
        place: u8,
        content: u8,
        stale: bool,
    },
    Delete {
        place: u8,
        stale: bool,
    },
    /// Moves content from one object to another, both or neither.
    Move {
        from: u8,
        to: u8,
    },
    /// Ends the process and starts another.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = 0..4_u8;
    let content = 0..3_u8;
    let stale = prop::bool::weighted(0.2);
    let step = prop_oneof![
        4 => (place.clone(), content.clone()).prop_map(|(place, content)| Step::Create { place, content }),
        4 => (place.clone(), content, stale)
            .prop_map(|(place, content, stale)| Step::Update { place, content, stale }),
        2 => (place.clone(), stale).prop_map(|(place, stale)| Step::Delete { place, stale }),
        2 => (place.clone(), place).prop_map(|(from, to)| Step::Move { from, to }),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..40)
}

/// What the store should hold: revision and content of each key, and every change since the last start.
#[derive(Debug, Clone, Default)]
struct Model {
    revision: u64,
    floor: u64,
    objects: BTreeMap<Key, (u64, u8)>,
    history: Vec<(u64, Key, Option<u8>)>,
}

impl Model {
    fn change(&mut self, key: &Key, content: Option<u8>) {
        self.revision += 1;
        self.history.push((self.revision, key.clone(), content));
        match content {
            Some(content) => self.objects.insert(key.clone(), (self.revision, content)),
            None => self.objects.remove(key),
        };
    }

    /// The state at a revision, from the history alone.
    fn at(&self, revision: u64) -> BTreeMap<Key, u8> {
        let mut then: BTreeMap<Key, u8> =
            self.objects.iter().map(|(key, (_, content))| (key.clone(), *content)).collect();
        // Undo by replaying what came before: the model keeps every change since the floor.
        let touched = self.history.iter().filter(|(at, ..)| *at > revision);
        for (_, key, _) in touched {
            then.remove(key);
            let before = self.history.iter().rfind(|(at, k, _)| *at <= revision && k == key);
            if let Some((_, _, Some(content))) = before {
                then.insert(key.clone(), *content);
            }
        }
        then
    }
}

fn places() -> [Key; 4] {
    [key(maps(), "a"), key(maps(), "b"), key(secrets(), "a"), key(secrets(), "c")]
}

/// Does a step to both and holds their answers together.
async fn step(store: &Store, model: &mut Model, step: &Step) {
    let keys = places();
    match step {
        Step::Create { place, content } => {
            let key = &keys[usize::from(*place)];
            let operation =
                Operation::Create { key: key.clone(), draft: draft(&key.name, *content) };
            let outcome = store.write(operation).await;
            if model.objects.contains_key(key) {
                assert!(matches!(outcome, Err(WriteError::Exists(_))));
            } else {
                model.change(key, Some(*content));
                assert_eq!(outcome.unwrap().revision(), Revision(model.revision));
            }
        }
        Step::Update { place, content, stale } => {
            let key = &keys[usize::from(*place)];
            let known = model.objects.get(key).copied();
            let expected = Revision(known.map_or(1, |(at, _)| at - u64::from(*stale)));
            let draft = draft(&key.name, *content);
            let outcome =
                store.write(Operation::Update { key: key.clone(), expected, draft }).await;
            match known {
                None => assert!(matches!(outcome, Err(WriteError::Missing(_)))),
                Some(_) if *stale => assert!(matches!(outcome, Err(WriteError::Stale { .. }))),
                Some((at, same)) if same == *content => {
                    assert_eq!(outcome.unwrap().revision(), Revision(at), "no change, no revision");
                }
                Some(_) => {
                    model.change(key, Some(*content));
                    assert_eq!(outcome.unwrap().revision(), Revision(model.revision));
                }
            }
        }
        Step::Delete { place, stale } => {
            let key = &keys[usize::from(*place)];
            let known = model.objects.get(key).copied();
            let expected = Revision(known.map_or(1, |(at, _)| at - u64::from(*stale)));
            let outcome = store.write(Operation::Delete { key: key.clone(), expected }).await;
            match known {
                None => assert!(matches!(outcome, Err(WriteError::Missing(_)))),
                Some(_) if *stale => assert!(matches!(outcome, Err(WriteError::Stale { .. }))),
                Some((_, last)) => {
                    model.change(key, None);
                    let object = outcome.unwrap();
                    assert_eq!(
                        (object.revision(), content(&object)),
                        (Revision(model.revision), last)
                    );
                }
            }
        }
        Step::Move { from, to } => {
            let (from, to) = (&keys[usize::from(*from)], &keys[usize::from(*to)]);
            let known = model.objects.get(from).copied();
            let (at, moved) = known.unwrap_or((1, 0));
            let delete = Operation::Delete { key: from.clone(), expected: Revision(at) };
            let create = Operation::Create { key: to.clone(), draft: draft(&to.name, moved) };
            let transaction =
                Transaction { requires: Vec::new(), operations: vec![delete, create] };
            let outcome = store.commit(transaction).await;
            if known.is_some() && !model.objects.contains_key(to) {
                model.change(from, None);
                model.change(to, Some(moved));
                assert_eq!(outcome.unwrap()[1].revision(), Revision(model.revision));
            } else {
                assert!(outcome.is_err(), "half a transaction is none");
            }
        }
        Step::Crash => {}
    }
}

/// Every read of the store answers as the model does.
fn check(store: &Store, model: &Model) {
    assert_eq!(store.revision(), Revision(model.revision));
    for resource in [maps(), secrets()] {
        let query = Query::all(&resource);
        for revision in model.floor.saturating_sub(1)..=model.revision {
            let listing = store.list_at(&query, Revision(revision));
            if revision < model.floor {
                assert!(listing.is_err(), "revision {revision} was before the start");
                continue;
            }
            let found: Vec<(String, u8)> = listing
                .unwrap()
                .items
                .iter()
                .map(|object| (object.meta().name.clone(), content(object)))
                .collect();
            let expected: Vec<(String, u8)> = model
                .at(revision)
                .into_iter()
                .filter(|(key, _)| key.resource == resource)
                .map(|(key, content)| (key.name, content))
                .collect();
            assert_eq!(found, expected, "{resource} at {revision}");
            // A list at R and the watch after R together show every change once, in order.
            let mut watch = store.watch(&resource, Revision(revision)).unwrap();
            let mut seen = Vec::new();
            while let Some(Ok(changes)) = watch.next().now_or_never() {
                seen.extend(changes);
            }
            let seen: Vec<(u64, Option<u8>)> = seen
                .iter()
                .map(|change| {
                    let written = change.effect == Effect::Written;
                    (change.revision.0, written.then(|| content(&change.new)))
                })
                .collect();
            let expected: Vec<(u64, Option<u8>)> = model
                .history
                .iter()
                .filter(|(at, key, _)| *at > revision && key.resource == resource)
                .map(|(at, _, content)| (*at, *content))
                .collect();
            assert_eq!(seen, expected, "{resource} after {revision}");
        }
    }
    for key in places() {
        let found = store.get(&key).map(|object| (object.revision().0, content(&object)));
        assert_eq!(found, model.objects.get(&key).copied(), "{key}");
    }
}

async fn story(steps: &[Step], durable: Option<&Path>) {
    let options = match durable {
        Some(path) => StoreOptions::Durable { path: path.to_owned() },
        None => StoreOptions::Memory,
    };
    let mut store = Store::open(&options).await.unwrap();
    let mut model = Model { revision: 1, floor: 1, ..Model::default() };
    for (index, next) in steps.iter().enumerate() {
        if let (Step::Crash, Some(path)) = (next, durable) {
            // What the file holds at this moment is what a machine without power would find: the next store starts
            // from a copy, while the old one never gets to say good-bye.
            let copy = path.with_extension(index.to_string());
            std::fs::copy(path, &copy).unwrap();
            store = Store::open(&StoreOptions::Durable { path: copy.clone() }).await.unwrap();
            std::fs::rename(&copy, path).unwrap();
            model.floor = model.revision;
            model.history = model
                .objects
                .iter()
                .map(|(key, (at, content))| (*at, key.clone(), Some(*content)))
                .collect();
            model.history.sort_by_key(|(at, ..)| *at);
        }
        step(&store, &mut model, next).await;
        check(&store, &model);
    }
    store.close().await;
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_memory_store_is_its_model(steps in steps()) {
        runtime().block_on(story(&steps, None));
    }
}

proptest! {
    // Every step syncs a file; fewer cases keep the test in seconds.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_durable_store_is_its_model(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        runtime().block_on(story(&steps, Some(&dir.path().join("store"))));
    }
}

#[tokio::test]
async fn a_slow_watcher_is_cut_off_and_a_forgotten_revision_fails() {
    let store = Store::open_with_history(&StoreOptions::Memory, 4).await.unwrap();
    let from = store.revision();
    let mut slow = store.watch(&maps(), from).unwrap();
    for index in 0..6_u8 {
        let name = format!("m{index}");
        let operation = Operation::Create { key: key(maps(), &name), draft: draft(&name, index) };
        store.write(operation).await.unwrap();
    }
    let oldest = Revision(from.0 + 2);
    assert_eq!(slow.next().await.unwrap_err(), Forgotten { asked: from, oldest });
    assert_eq!(store.watch(&maps(), from).unwrap_err(), Forgotten { asked: from, oldest });
    assert!(store.list_at(&Query::all(&maps()), from).is_err());
    assert_eq!(store.watch(&maps(), oldest).unwrap().next().await.unwrap().len(), 4);
    // Another resource's history is its own.
    assert!(store.watch(&secrets(), from).is_ok());
}

#[tokio::test]
async fn concurrent_writers_share_commits_and_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions::Durable { path: dir.path().join("store") };
    let store = Store::open(&options).await.unwrap();
    let mut watch = store.watch(&maps(), store.revision()).unwrap();
    let writes = (0..200).map(|index| {
        let name = format!("m{index:03}");
        let operation = Operation::Create { key: key(maps(), &name), draft: draft(&name, 0) };
        store.write(operation)
    });
    let objects = futures::future::try_join_all(writes).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < objects.len() {
        seen.extend(watch.next().await.unwrap().iter().map(|change| change.revision.0));
    }
    let expected: Vec<u64> = (2..202).collect();
    assert_eq!(seen, expected);
    store.close().await;
    let again = Store::open(&options).await.unwrap();
    assert_eq!(again.list(&Query::all(&maps())).items.len(), 200);
    assert_eq!(again.revision(), Revision(201));
}

#[tokio::test]
async fn requirements_hold_or_nothing_happens() {
    let store = Store::open(&StoreOptions::Memory).await.unwrap();
    let namespace = Key::new(ResourceId::new("", "namespaces"), "", "n");
    let inside = |name: &str| Transaction {
        requires: vec![Require::Alive(namespace.clone())],
        operations: vec![Operation::Create { key: key(maps(), name), draft: draft(name, 0) }],
    };
    assert!(matches!(store.commit(inside("a")).await, Err(WriteError::NotAlive(_))));
    let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    let alive = Draft::new(&value).unwrap();
    let created =
        store.write(Operation::Create { key: namespace.clone(), draft: alive }).await.unwrap();
    store.commit(inside("a")).await.unwrap();
    let value = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "n", "deletionTimestamp": "2030-01-01T00:00:00Z"}});
    let going = Draft::new(&value).unwrap();
    let expected = created.revision();
    store
        .write(Operation::Update { key: namespace.clone(), expected, draft: going })
        .await
        .unwrap();
    assert!(matches!(store.commit(inside("b")).await, Err(WriteError::NotAlive(_))));
    let twice = Transaction {
        requires: vec![Require::Absent(key(maps(), "c"))],
        operations: ["c", "c"]
            .map(|name| Operation::Create { key: key(maps(), name), draft: draft(name, 0) })
            .into(),
    };
    assert!(matches!(store.commit(twice).await, Err(WriteError::Twice(_))));
}

/// A log that fails on demand, as a full disk does.
struct Fragile {
    fails: Arc<std::sync::atomic::AtomicBool>,
}

impl Log for Fragile {
    fn append(&mut self, _: Batch) -> futures::future::BoxFuture<'_, Result<(), LogError>> {
        let fails = self.fails.load(std::sync::atomic::Ordering::SeqCst);
        async move { if fails { Err(LogError::NoSpace("full".into())) } else { Ok(()) } }.boxed()
    }

    fn close(self: Box<Self>) -> futures::future::BoxFuture<'static, ()> {
        async {}.boxed()
    }
}

#[tokio::test]
async fn a_failed_commit_changes_nothing_and_the_next_one_works() {
    let fails = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let state = State::new(Revision(1), [], HISTORY_CHANGES);
    let store = Store::start(state, Some(Box::new(Fragile { fails: fails.clone() })));
    let create = || one(Operation::Create { key: key(maps(), "a"), draft: draft("a", 1) });
    let (first, second) = futures::join!(store.commit(create()), store.commit(create()));
    assert!(matches!(first, Err(WriteError::NoSpace(_))));
    assert!(
        matches!(second, Err(WriteError::NoSpace(_))),
        "it rests on a write that did not happen"
    );
    assert_eq!(store.revision(), Revision(1));
    assert!(store.list(&Query::all(&maps())).items.is_empty(), "reading goes on");
    fails.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(store.commit(create()).await.unwrap()[0].revision(), Revision(2));
}

async fn open_error(path: &Path) -> OpenError {
    Store::open(&StoreOptions::Durable { path: path.to_owned() }).await.unwrap_err()
}

#[tokio::test]
async fn a_file_that_can_not_be_used_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let options = StoreOptions::Durable { path: path.clone() };
    let store = Store::open(&options).await.unwrap();
    for index in 0..50_u8 {
        let name = format!("m{index}");
        let operation = Operation::Create { key: key(maps(), &name), draft: draft(&name, 0) };
        store.write(operation).await.unwrap();
    }
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "secrets are in it");
    assert!(matches!(open_error(&path).await, OpenError::Locked { .. }));
    store.close().await;

    let whole = std::fs::read(&path).unwrap();
    let mut torn = whole.clone();
    for byte in torn.iter_mut().skip(4096).step_by(97) {
        *byte ^= 0x5a;
    }
    for (what, bytes) in [
        ("nonsense", b"not a database".repeat(1000)),
        ("cut short", whole[..whole.len() / 2].to_vec()),
        ("flipped bits", torn),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = open_error(&path).await;
        assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error}");
        assert!(error.to_string().contains("the file is damaged"));
    }
    std::fs::write(&path, whole).unwrap();
    assert_eq!(Store::open(&options).await.unwrap().revision(), Revision(51));
    assert!(matches!(open_error(&dir.path().join("none/store")).await, OpenError::Io { .. }));
}
