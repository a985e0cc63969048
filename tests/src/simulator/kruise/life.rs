//! What people happen to do with sets and batch claims, and what programs outside do beside them: at moments drawn from the seed, and never what would make a law
//! meaningless.

use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::outsider::Taken;
use super::people::template;
use crate::simulator::node::BROKEN_IMAGE;
use crate::simulator::user::User;
use crate::simulator::world::Diary;
use crate::simulator::x_k8s::life::Habits;

/// Draws how a set follows its template.
fn draw_update(rng: &mut Rng) -> Value {
    match rng.u8(..5) {
        0 => json!({}),
        1 => json!({"maxUnavailable": 1}),
        2 => json!({"maxUnavailable": 0, "maxSurge": 1}),
        3 => json!({"maxUnavailable": "0%", "maxSurge": "50%"}),
        _ => json!({"maxUnavailable": "100%"}),
    }
}

/// Draws how a set grows.
fn draw_scale(rng: &mut Rng) -> Value {
    match rng.u8(..3) {
        0 => json!({"maxUnavailable": 1}),
        1 => json!({"maxUnavailable": "50%"}),
        _ => Value::Null,
    }
}

/// Somebody's life.
pub struct Life<'a> {
    user: &'a User,
    habits: &'a Habits,
    rng: &'a mut Rng,
    diary: &'a Diary,
    claims: Vec<String>,
    paused: Vec<String>,
    made: u32,
}

impl<'a> Life<'a> {
    /// A life that begins.
    pub fn new(user: &'a User, habits: &'a Habits, rng: &'a mut Rng, diary: &'a Diary) -> Self {
        Self { user, habits, rng, diary, claims: Vec::new(), paused: Vec::new(), made: 0 }
    }

    /// Lives it, and leaves something behind to converge on.
    pub async fn live(mut self) {
        for n in 0..self.habits.pools {
            // Every second set refers to a template; the order of the two does not matter to the controllers, so the seed picks it.
            let refers = n % 2 == 1;
            let template_first = self.rng.bool();
            if refers && template_first {
                self.make_template(n).await;
            }
            self.make_set(n).await;
            if refers && !template_first {
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
        let name = format!("u{n}");
        let done = self.user.kruise().create_template(&name, "image-0").await;
        self.note(format!("create template {name}"), done);
    }

    async fn make_set(&mut self, n: u32) {
        let name = format!("s{n}");
        let mut spec = if n % 2 == 1 {
            json!({"templateRef": {"name": format!("u{n}")}})
        } else {
            template("image-0")
        };
        spec["replicas"] = json!(self.rng.u32(..=self.habits.most));
        spec["updateStrategy"] = draw_update(self.rng);
        let scale = draw_scale(self.rng);
        if scale.is_object() {
            spec["scaleStrategy"] = scale;
        }
        let what = format!(
            "create set {name} of {} {} {}",
            spec["replicas"], spec["updateStrategy"], spec["scaleStrategy"]
        );
        let done = self.user.kruise().create_set_with(&name, spec).await;
        self.note(what, done);
    }

    async fn claim(&mut self, set: &str, mut spec: Value) {
        self.made += 1;
        let name = format!("b{}", self.made);
        spec["templateName"] = json!(set);
        let done = self.user.kruise().claim_with(&name, spec.clone()).await;
        self.claims.push(name.clone());
        self.note(format!("claim {name} {spec}"), done);
    }

    async fn edit(&mut self, n: u32, image: &str) {
        let people = self.user.kruise();
        let done = if n % 2 == 1 {
            people.edit_template(&format!("u{n}"), image).await
        } else {
            people.edit_set(&format!("s{n}"), template(image)).await
        };
        self.note(format!("edit the template of s{n} to {image}"), done);
    }

    async fn step(&mut self) {
        let n = self.rng.u32(..self.habits.pools);
        let set = format!("s{n}");
        let batch = json!({"replicas": self.rng.u32(1..=self.habits.most + 2)});
        match self.rng.u8(..100) {
            0..22 => self.claim(&set, batch).await,
            22..32 => {
                let mut spec = batch;
                spec["createOnNoStock"] = json!(false);
                self.claim(&set, spec).await;
            }
            32..40 => {
                for _ in 0..self.rng.u32(2..=self.habits.most + 2) {
                    self.claim(&set, json!({})).await;
                }
            }
            40..50 => self.take(&set).await,
            50..53 => self.lock(&set).await,
            53..60 => self.release().await,
            60..69 => {
                let replicas = self.rng.u32(..=self.habits.most);
                let done = self.user.kruise().scale_set(&set, replicas).await;
                self.note(format!("scale {set} to {replicas}"), done);
            }
            69..77 => {
                let image = match self.rng.u8(..6) {
                    5 => BROKEN_IMAGE.to_owned(),
                    n => format!("image-{n}"),
                };
                self.edit(n, &image).await;
            }
            77..81 => self.delete_sandbox().await,
            81..86 => self.pause().await,
            86..89 => {
                let image = format!("image-{}", self.rng.u8(5..9));
                let mut spec = batch;
                spec["inplaceUpdate"] = json!({"image": image});
                self.claim(&set, spec).await;
            }
            89..91 => {
                let mut spec = batch;
                let resources = json!({"requests": {"cpu": "150m"}});
                spec["inplaceUpdate"] = json!({"resources": resources});
                self.claim(&set, spec).await;
            }
            91..94 => {
                let mut spec = batch;
                let at = self.user.in_seconds(self.rng.i64(5..40));
                spec["shutdownTime"] = json!(at.to_string());
                spec["labels"] = json!({"who": "somebody"});
                self.claim(&set, spec).await;
            }
            94..96 => {
                let mut spec = batch;
                spec["claimTimeout"] = json!("2s");
                spec["ttlAfterCompleted"] = json!("3s");
                self.claim(&set, spec).await;
            }
            96..98 => {
                let update = draw_update(self.rng);
                let what = format!("{set} follows its template by {update}");
                // A merge patch keeps what it does not mention.
                let patch = json!({"updateStrategy": {
                    "maxUnavailable": update["maxUnavailable"], "maxSurge": update["maxSurge"],
                }});
                let done = self.user.kruise().edit_set(&set, patch).await;
                self.note(what, done);
            }
            _ => {
                let done = self.user.kruise().delete_set(&set).await;
                self.note(format!("delete set {set}"), done);
                let pause = Duration::from_millis(self.rng.u64(..2000));
                tokio::time::sleep(pause).await;
                self.make_set(n).await;
            }
        }
    }

    /// Somebody outside takes one. It looks, thinks for a while, and writes.
    async fn take(&mut self, set: &str) {
        let Some((sandbox, key)) = self.look(set).await else { return };
        let at = self.user.in_seconds(0).to_string();
        let done = self.user.kruise().take(sandbox, &key, &at).await;
        self.tell(&key, done);
    }

    /// Somebody outside begins to take one and dies.
    async fn lock(&mut self, set: &str) {
        let Some((sandbox, key)) = self.look(set).await else { return };
        let done = self.user.kruise().lock(sandbox, &key).await;
        self.tell(&key, done);
    }

    async fn look(&mut self, set: &str) -> Option<(kube::api::DynamicObject, String)> {
        self.made += 1;
        let key = format!("key-{}", self.made);
        let mut offers = self.user.kruise().on_offer(set).await.ok()?;
        if offers.is_empty() {
            return None;
        }
        let chosen = offers.swap_remove(self.rng.usize(..offers.len()));
        let thinks = Duration::from_millis([0, 3, 40][self.rng.usize(..3)]);
        tokio::time::sleep(thinks).await;
        Some((chosen, key))
    }

    fn tell(&self, key: &str, done: kube::Result<Taken>) {
        match done {
            Ok(taken) => self.diary.note(format!("outside, {key}: {taken:?}")),
            Err(error) => self.diary.note(format!("outside, {key}: {error}")),
        }
    }

    async fn release(&mut self) {
        if self.claims.is_empty() {
            return;
        }
        let name = self.claims.swap_remove(self.rng.usize(..self.claims.len()));
        let done = self.user.kruise().delete_claim(&name).await;
        self.note(format!("delete claim {name}"), done);
    }

    async fn pick_sandbox(&mut self) -> Option<String> {
        let names = self.user.kruise().sandbox_names().await.ok()?;
        (!names.is_empty()).then(|| names[self.rng.usize(..names.len())].clone())
    }

    async fn delete_sandbox(&mut self) {
        let Some(name) = self.pick_sandbox().await else { return };
        let done = self.user.kruise().delete_sandbox(&name).await;
        self.note(format!("delete sandbox {name} by hand"), done);
    }

    /// Pauses what somebody has, or has it run again.
    async fn pause(&mut self) {
        let Some(name) = self.pick_sandbox().await else { return };
        let Ok(sandbox) = self.user.kruise().sandbox(&name).await else { return };
        let claimed = sandbox["metadata"]["labels"][super::CLAIMED] == "true";
        if !claimed {
            return;
        }
        let paused = sandbox["spec"]["paused"] != true;
        let done = self.user.kruise().pause(&name, paused).await;
        self.note(format!("paused {paused} for {name}"), done);
        self.paused.push(name);
    }

    /// Ends a life so that it can be judged: what is broken on purpose is mended.
    async fn tidy(mut self) {
        for sandbox in std::mem::take(&mut self.paused) {
            if self.rng.bool() {
                let done = self.user.kruise().pause(&sandbox, false).await;
                self.note(format!("paused false for {sandbox}"), done);
            }
        }
        for n in 0..self.habits.pools {
            let image = format!("image-{}", self.rng.u8(5..9));
            self.edit(n, &image).await;
        }
    }
}
