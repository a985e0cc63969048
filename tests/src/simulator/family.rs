//! What the laws have to know of an API family: where its objects are, and how they are read by somebody who has only read the documentation.
//!
//! The laws themselves are the same for all families and stand once, in [`laws`](super::laws).

use std::fmt::Debug;

use serde_json::Value;

use super::view::{Place, View};

/// An API family, as the laws see it.
pub trait Family: Debug + Default {
    /// Group, plural, and what the view calls it: two families may use the same plural.
    const KINDS: [(&'static str, &'static str, &'static str); 4];
    /// What the view calls its sandboxes.
    const SANDBOXES: &'static str;
    /// What the view calls its pools.
    const POOLS: &'static str;
    /// What the view calls its claims.
    const CLAIMS: &'static str;
    /// What the view calls its templates.
    const TEMPLATES: &'static str;

    /// The pool that a warm sandbox belongs to.
    fn pool_of(sandbox: &Value) -> Option<&str>;

    /// Who has a sandbox for good.
    fn holder_of(sandbox: &Value) -> Option<Holder<'_>>;

    /// The word of somebody who is about to take a warm sandbox, where the family has such words.
    fn lock_of(_sandbox: &Value) -> Option<&str> {
        None
    }

    /// Whether a claimed sandbox counts as one of those that its claim asked for.
    fn counts_for_claim(_sandbox: &Value) -> bool {
        true
    }

    /// The image that a sandbox runs, if that can be known.
    fn image(view: &View, place: &Place, sandbox: &Value) -> Option<String>;

    /// What a pool asks for.
    fn wish(view: &View, namespace: &str, pool: &Value) -> Wish;

    /// How many sandboxes a claim asks for.
    fn asked(claim: &Value) -> u32;

    /// The names of the sandboxes that a claim was told of.
    fn told(claim: &Value) -> Vec<&str>;

    /// Whether the write that gives a sandbox to this claim may change its image.
    fn may_change_image(_claim: &Value) -> bool {
        false
    }

    /// Whether a claimed sandbox may be removed by a controller.
    fn may_go(sandbox: &Claimed<'_>) -> bool;

    /// What must be true of a pool's status when all is quiet, beyond what is the same for all families.
    fn pool_at_rest(pool: &Value, tally: &Tally, found: &mut Found);

    /// What must be true of a claim when all is quiet.
    fn claim_at_rest(view: &View, place: &Place, claim: &Value, found: &mut Found);

    /// What must be true of a sandbox when all is quiet. Its pod, if there is one, has its name.
    fn sandbox_at_rest(view: &View, place: &Place, sandbox: &Value, found: &mut Found);

    /// What must be true of a template when all is quiet.
    fn template_at_rest(_view: &View, _place: &Place, _template: &Value, _found: &mut Found) {}
}

/// Law and what is wrong.
pub type Found = Vec<(u8, String)>;

/// Who has a sandbox for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder<'a> {
    /// The name of the claim; empty for somebody outside who takes without an object.
    pub claim: &'a str,
    /// The claim's uid, or who it is.
    pub life: &'a str,
}

/// A claimed sandbox that somebody removes.
#[derive(Clone, Copy, Debug)]
pub struct Claimed<'a> {
    /// Its name.
    pub name: &'a str,
    /// Itself.
    pub sandbox: &'a Value,
    /// Its claim, if that exists.
    pub claim: Option<&'a Value>,
    /// Its claim as it last was, if that went so lately that a controller need not know.
    pub lately: Option<&'a Value>,
}

/// What a pool asks for from some moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// How many of its sandboxes may exist.
    pub ceiling: u64,
    /// How many it keeps.
    pub target: u64,
    /// How many must stay available while a rollout goes on; none where a rollout need not keep any.
    pub floor: Option<u64>,
    /// What its sandboxes run; none while its template is missing.
    pub image: Option<String>,
    /// What becomes of sandboxes of an older template.
    pub stale: Stale,
}

/// What becomes of sandboxes of an older template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// They go at once and are never handed out.
    Forbidden,
    /// They go one after the other and may be handed out meanwhile.
    Leaves,
    /// Those that are ready stay; the others go.
    ReadyOnesStay,
    /// They stay until they are claimed.
    Stays,
}

/// A pool, counted by somebody else.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    /// Its sandboxes, without those that are leaving.
    pub members: u64,
    /// How many of them can be claimed.
    pub available: u64,
    /// How many of them are of the current template; none if there is no template that anybody could run.
    pub fresh: Option<u64>,
    /// How many are both.
    pub fresh_available: Option<u64>,
}

/// A count of a status that must be true.
pub fn same(pool: &Value, field: &str, is: u64, found: &mut Found) {
    let told = pool["status"][field].as_u64().unwrap_or(0);
    if told != is {
        let name = pool["metadata"]["name"].as_str().unwrap_or_default();
        found.push((7, format!("pool {name} says {field} {told}; it is {is}")));
    }
}

/// A count or a percentage of a whole. What is neither counts as `absent`, which is a percentage.
pub fn part(value: &Value, absent: u64, whole: u64, round: Round) -> u64 {
    if let Some(count) = value.as_u64() {
        return count;
    }
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')?.parse().ok());
    let product = whole * percent.unwrap_or(absent);
    match round {
        Round::Up => product.div_ceil(100),
        Round::Down => product / 100,
    }
}

/// Which way a part of a sandbox goes.
#[derive(Clone, Copy, Debug)]
pub enum Round {
    /// Up.
    Up,
    /// Down.
    Down,
}
