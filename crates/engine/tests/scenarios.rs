//! Stories: each file in `scenarios/` is a script; beside it stands what happened when it was played. `SANDBANK_WRITE_GOLDEN=1` writes the latter anew, to be read
//! and reviewed like code.

mod sim;

use jiff::SignedDuration;
use sandbank_engine::pool::Removal;
use sandbank_engine::{Amount, Budget, Rounding, Stage, Strategy};
use sim::{Cluster, Fate};
use std::path::Path;

#[test]
fn stories_end_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut scripts: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    scripts.sort();
    assert!(scripts.len() >= 10, "stories are missing from {}", folder.display());
    let mut wrong = Vec::new();
    for script in scripts {
        let told = play(&std::fs::read_to_string(&script).unwrap());
        let golden = script.with_extension("out");
        if std::env::var_os("SANDBANK_WRITE_GOLDEN").is_some() {
            std::fs::write(&golden, &told).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if told != expected {
            wrong.push(format!("{}\n--- expected\n{expected}--- told\n{told}", script.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Plays a script. Lines that begin with `#` are its prose and are told again.
fn play(script: &str) -> String {
    let mut cluster: Option<Cluster> = None;
    let mut told = String::new();
    for line in script.lines() {
        if line.is_empty() || line.starts_with('#') {
            told.push_str(line);
            told.push('\n');
            continue;
        }
        told.push_str(&format!("> {line}\n"));
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["pool", size, strategy @ ..] = &words[..] {
            match &mut cluster {
                None => cluster = Some(Cluster::new(number(size), strategy_of(strategy), "v1")),
                Some(cluster) => {
                    cluster.target = number(size);
                    cluster.set_strategy(strategy_of(strategy));
                }
            }
            continue;
        }
        let cluster = cluster.as_mut().expect("a story begins with a pool");
        act(cluster, &words);
        for line in cluster.log.drain(..) {
            told.push_str(&format!("  {line}\n"));
        }
    }
    told
}

fn act(cluster: &mut Cluster, words: &[&str]) {
    match words {
        ["template", "none"] => cluster.set_template(None),
        ["template", revision] => cluster.set_template(Some(revision)),
        ["starts", "take", seconds] => cluster.start = seconds_of(seconds),
        ["removals", "take", seconds] => cluster.leave = seconds_of(seconds),
        ["starts", "succeed"] => cluster.fate = Fate::Ready,
        ["starts", "fail"] => cluster.fate = Fate::Fail,
        ["starts", "stick"] => cluster.fate = Fate::Stick,
        ["starts", "find", "no", "node"] => cluster.fate = Fate::Unschedulable,
        ["claim", names @ ..] => names.iter().for_each(|name| cluster.claim(name)),
        ["release", names @ ..] => names.iter().for_each(|name| cluster.release(name)),
        ["orphan", name, revision] => cluster.orphan(name, revision),
        ["sandbox", name, "fails"] => {
            cluster.strike(
                name,
                Stage::Failed { message: "the process ended with code 137".to_owned() },
            );
        }
        ["sandbox", name, "unready"] => cluster.strike(name, Stage::Creating(None)),
        ["sandbox", name, "deleted"] => cluster.strike(name, Stage::Leaving),
        ["another", "process", "takes", name] => cluster.steal(name),
        ["another", "process", "locks", name] => cluster.lock(name),
        ["at", "most", count, "start"] => cluster.startup = Some(Amount::Count(number(count))),
        ["stale", "and", "oldest", "go", "first"] => cluster.removal = Removal::StaleThenOldest,
        ["pass", seconds] => cluster.pass(seconds_of(seconds)),
        ["see", "all"] => cluster.deliver_all(),
        ["see", count] => cluster.deliver(number(count) as usize),
        ["reconcile", "pool"] => {
            cluster.reconcile_pool();
        }
        ["reconcile", name] => {
            cluster.reconcile_claim(name);
        }
        ["settle"] => {
            let rounds = cluster.settle();
            assert!(rounds.is_some(), "it never comes to rest");
            let summary = cluster.summary();
            cluster.say(summary);
        }
        ["show"] => {
            let summary = cluster.summary();
            cluster.say(summary);
        }
        other => panic!("no such line: {other:?}"),
    }
}

fn strategy_of(words: &[&str]) -> Strategy {
    let amount = |word: &str| match word.strip_suffix('%') {
        Some(percent) => Amount::Percent(number(percent)),
        None => Amount::Count(number(word)),
    };
    match words {
        ["Recreate"] => Strategy::Recreate,
        ["OnReplenish"] => Strategy::OnReplenish,
        ["RollingUpdate", unavailable, surge] => Strategy::RollingUpdate(Budget {
            max_unavailable: amount(unavailable),
            max_surge: amount(surge),
            rounding: Rounding::Down,
        }),
        other => panic!("no such strategy: {other:?}"),
    }
}

fn number(word: &str) -> u32 {
    word.parse().expect("a number")
}

fn seconds_of(word: &str) -> SignedDuration {
    SignedDuration::from_secs(i64::from(number(word.trim_end_matches('s'))))
}
