//! What people happen to do with warm pools and claims: at moments drawn from the seed, and never what would make a law meaningless.

use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::simulator::node::BROKEN_IMAGE;
use crate::simulator::user::User;
use crate::simulator::world::Diary;

/// What people do in a run.
#[derive(Clone, Debug)]
pub struct Habits {
    /// How many things are done in all.
    pub steps: u32,
    /// The longest pause between two of them.
    pub pause: Duration,
    /// How many pools there are; each has a template of its own.
    pub pools: u32,
    /// The most sandboxes that a pool is asked for.
    pub most: u32,
}

impl Habits {
    /// The habits of a seed: from hectic to slow.
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            steps: rng.u32(20..70),
            pause: Duration::from_millis([30, 300, 1500, 4000][rng.usize(..4)]),
            pools: rng.u32(1..=2),
            most: rng.u32(2..=6),
        }
    }
}

/// Draws one of the strategies.
pub fn draw_strategy(rng: &mut Rng) -> Value {
    match rng.u8(..4) {
        0 => json!({"type": "Recreate"}),
        1 => json!({"type": "OnReplenish"}),
        2 => {
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}})
        }
        _ => {
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "0%", "maxSurge": "50%"}})
        }
    }
}

/// Somebody's life.
pub struct Life<'a> {
    user: &'a User,
    habits: &'a Habits,
    rng: &'a mut Rng,
    diary: &'a Diary,
    claims: Vec<String>,
    suspended: Vec<String>,
    made: u32,
}

impl<'a> Life<'a> {
    /// A life that begins.
    pub fn new(user: &'a User, habits: &'a Habits, rng: &'a mut Rng, diary: &'a Diary) -> Self {
        Self { user, habits, rng, diary, claims: Vec::new(), suspended: Vec::new(), made: 0 }
    }

    /// Lives it, and leaves something behind to converge on.
    pub async fn live(mut self) {
        for n in 0..self.habits.pools {
            // The order of the two does not matter to the controllers, so the seed picks it.
            if self.rng.bool() {
                self.make_template(n).await;
                self.make_pool(n).await;
            } else {
                self.make_pool(n).await;
                self.make_template(n).await;
            }
        }
        for _ in 0..self.habits.steps {
            let pause = self.habits.pause.mul_f64(self.rng.f64());
            tokio::time::sleep(pause).await;
            self.step().await;
        }
        self.tidy().await;
    }

    fn note<T>(&self, what: String, done: kube::Result<T>) {
        match done {
            Ok(_) => self.diary.note(what),
            Err(error) => self.diary.note(format!("{what}: {error}")),
        }
    }

    async fn make_template(&mut self, n: u32) {
        let name = format!("t{n}");
        let done = self.user.create_template(&name, "image-0").await;
        self.note(format!("create template {name}"), done);
    }

    async fn make_pool(&mut self, n: u32) {
        let (template, pool) = (format!("t{n}"), format!("p{n}"));
        let (strategy, replicas) = (draw_strategy(self.rng), self.rng.u32(..=self.habits.most));
        let what = format!("create pool {pool} of {replicas} {strategy}");
        let done = self.user.create_pool(&pool, &template, replicas, strategy).await;
        self.note(what, done);
    }

    async fn claim(&mut self, pool: &str, spec: Value) {
        self.made += 1;
        let name = format!("c{}", self.made);
        let done = self.user.create_claim_with(&name, spec.clone()).await;
        self.claims.push(name.clone());
        self.note(format!("claim {name} of {pool} {spec}"), done);
    }

    fn pick_claim(&mut self) -> Option<String> {
        (!self.claims.is_empty()).then(|| self.claims[self.rng.usize(..self.claims.len())].clone())
    }

    async fn step(&mut self) {
        let n = self.rng.u32(..self.habits.pools);
        let (template, pool) = (format!("t{n}"), format!("p{n}"));
        let plain = json!({"warmPoolRef": {"name": pool}});
        match self.rng.u8(..100) {
            0..36 => self.claim(&pool, plain).await,
            36..40 => {
                // Several at once: more than the pool has.
                for _ in 0..self.rng.u32(2..=self.habits.most + 2) {
                    self.claim(&pool, plain.clone()).await;
                }
            }
            40..56 => self.release().await,
            56..60 => self.renew(plain).await,
            60..69 => {
                let replicas = self.rng.u32(..=self.habits.most);
                let done = self.user.scale_pool(&pool, replicas).await;
                self.note(format!("scale {pool} to {replicas}"), done);
            }
            69..77 => {
                let image = match self.rng.u8(..6) {
                    5 => BROKEN_IMAGE.to_owned(),
                    n => format!("image-{n}"),
                };
                let done = self.user.edit_template(&template, &image).await;
                self.note(format!("edit {template} to {image}"), done);
            }
            77..80 => {
                let done = self.user.label_template(&template, &self.rng.u16(..).to_string()).await;
                self.note(format!("label {template}"), done);
            }
            80..83 => self.delete_sandbox().await,
            83..86 => {
                let other = format!("t{}", self.rng.u32(..self.habits.pools));
                let done = self.user.switch_pool(&pool, &other).await;
                self.note(format!("switch {pool} to {other}"), done);
            }
            86..89 => {
                let env = json!([{"name": "A", "value": "1"}]);
                self.claim(&pool, json!({"warmPoolRef": {"name": pool}, "env": env})).await;
            }
            89..92 => {
                let policy = ["Delete", "DeleteForeground", "Retain"][self.rng.usize(..3)];
                let at = self.user.in_seconds(self.rng.i64(..30)).to_string();
                let lifecycle = json!({"shutdownTime": at, "shutdownPolicy": policy});
                let spec = json!({"warmPoolRef": {"name": pool}, "lifecycle": lifecycle});
                self.claim(&pool, spec).await;
            }
            92..94 => self.suspend().await,
            94..96 => self.unlabel().await,
            96..98 => {
                let done = self.user.delete_pool(&pool).await;
                self.note(format!("delete pool {pool}"), done);
                let pause = Duration::from_millis(self.rng.u64(..2000));
                tokio::time::sleep(pause).await;
                self.make_pool(n).await;
            }
            _ => {
                let done = self.user.delete_template(&template).await;
                self.note(format!("delete template {template}"), done);
                let pause = Duration::from_millis(self.rng.u64(..5000));
                tokio::time::sleep(pause).await;
                self.make_template(n).await;
            }
        }
    }

    async fn release(&mut self) {
        if self.claims.is_empty() {
            return;
        }
        let name = self.claims.swap_remove(self.rng.usize(..self.claims.len()));
        let done = self.user.delete_claim(&name).await;
        self.note(format!("release {name}"), done);
    }

    /// Deletes a claim and makes another of the same name at once.
    async fn renew(&mut self, spec: Value) {
        let Some(name) = self.pick_claim() else { return };
        let done = self.user.delete_claim(&name).await;
        self.note(format!("release {name}"), done);
        let done = self.user.create_claim_with(&name, spec).await;
        self.note(format!("claim {name} again"), done);
    }

    async fn pick_sandbox(&mut self) -> Option<String> {
        let names = self.user.sandbox_names().await.ok()?;
        (!names.is_empty()).then(|| names[self.rng.usize(..names.len())].clone())
    }

    async fn delete_sandbox(&mut self) {
        let Some(name) = self.pick_sandbox().await else { return };
        let done = self.user.delete_sandbox(&name).await;
        self.note(format!("delete sandbox {name} by hand"), done);
    }

    async fn unlabel(&mut self) {
        let Some(name) = self.pick_sandbox().await else { return };
        let done = self.user.unlabel_sandbox(&name).await;
        self.note(format!("take the pool's label off {name}"), done);
    }

    /// Suspends the sandbox of a claim.
    async fn suspend(&mut self) {
        let Some(claim) = self.pick_claim() else { return };
        let Ok(claim) = self.user.claim(&claim).await else { return };
        let Some(sandbox) = claim["status"]["sandbox"]["name"].as_str() else { return };
        let done = self.user.set_mode(sandbox, "Suspended").await;
        self.note(format!("suspend {sandbox}"), done);
        self.suspended.push(sandbox.to_owned());
    }

    /// Ends a life so that it can be judged: what is broken on purpose is mended.
    async fn tidy(mut self) {
        for sandbox in std::mem::take(&mut self.suspended) {
            let done = self.user.set_mode(&sandbox, "Running").await;
            self.note(format!("resume {sandbox}"), done);
        }
        for n in 0..self.habits.pools {
            let image = format!("image-{}", self.rng.u8(5..9));
            let done = self.user.edit_template(&format!("t{n}"), &image).await;
            self.note(format!("edit t{n} to {image}"), done);
        }
        // A sandbox keeps the pod it was started with, so a claim of a broken one is released.
        for name in std::mem::take(&mut self.claims) {
            if self.rng.u8(..3) == 0 {
                let done = self.user.delete_claim(&name).await;
                self.note(format!("release {name}"), done);
            }
        }
    }
}
