//! The writes of a claim: taking, starting, telling, putting aside and discarding sandboxes. Those of one plan are made at once.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dialects::condition::{Condition, merge};
use dialects::kruise::build::{bind, cold};
use dialects::kruise::runtime::{self as inside, InitRequest, Introduction};
use dialects::kruise::{Sandbox, SandboxClaim, SandboxSet};
use dialects::meta::Pairs;
use engine::batch::BatchAction;
use engine::claim::Candidate;
use engine::{Key, Precondition, Verdict};
use futures::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Kruise;
use super::claim::Planned;
use super::claim_view::{Overlay, port_of};
use super::runtime::{self, Telling};
use crate::act::{DeletePrecondition, Part, Propagation, Urgency, WriteError, Written};
use crate::events::Severity;
use crate::family;
use crate::index::World;
use crate::kinds::Kind;
use crate::metrics::Adoption;
use crate::reconcile::{Attempt, Bound, Failure, Name, Reconciler, Reshelve};
use crate::subject::Subject;

/// What became of a wave.
pub(super) enum Outcome {
    /// It was made; so many writes brought the claim on.
    Done { fruits: usize },
    /// Something failed. What did not is on the sandboxes.
    Failed(Failure),
    /// The claim itself was deleted.
    Gone,
}

/// What one write left.
enum Left {
    /// A sandbox of the claim, as it is now.
    Sandbox(Box<Sandbox>),
    /// One less.
    Removed(Key),
    /// Nothing: somebody else was faster.
    Nothing,
    /// No claim.
    Gone,
}

type Act = Result<Left, Failure>;

impl Reconciler<Kruise> {
    pub(super) async fn carry_out(
        &self,
        subject: &Subject,
        planned: &Planned,
        overlay: &mut Overlay,
    ) -> Outcome {
        let Planned { seen, plan, names } = planned;
        let claim = &*seen.claim;
        let recent = &*overlay;
        let acts = plan.actions.iter().map(async |action| match action {
            BatchAction::Take { candidate, pool, .. } => {
                vec![self.take_for(claim, candidate, pool).await]
            }
            BatchAction::Create { pool, .. } => self.start_for(subject, claim, pool, names).await,
            BatchAction::Tell { key } => vec![self.tell_runtime(subject, key, recent).await],
            BatchAction::Discard { key, precondition, why } => {
                tracing::info!(%subject, sandbox = %key, reason = %why, "discarding");
                vec![self.discard(subject, key, precondition).await]
            }
            BatchAction::Reserve { key, precondition, why } => {
                tracing::info!(%subject, sandbox = %key, reason = %why, "putting aside");
                vec![self.reserve(subject, key, precondition).await]
            }
            BatchAction::DeleteBatch { precondition, .. } => {
                let text = "Claim TTL is over, the claim is deleted; its sandboxes stay".to_owned();
                self.note_claim(claim, Severity::Normal, "SandboxClaimTTLDelete", text);
                vec![self.delete_batch(subject, precondition).await]
            }
        });
        let left: Vec<Act> = join_all(acts).await.into_iter().flatten().collect();
        let mut fruits = 0;
        let mut failure = None;
        let mut gone = false;
        for act in left {
            match act {
                Ok(Left::Sandbox(sandbox)) => {
                    fruits += 1;
                    overlay.sandboxes.insert(sandbox.metadata.key(), *sandbox);
                }
                Ok(Left::Removed(key)) => {
                    fruits += 1;
                    overlay.removed.insert(key);
                }
                Ok(Left::Nothing) => {}
                Ok(Left::Gone) => gone = true,
                // What nobody knows the outcome of comes first: the others are seen in the next plan anyway.
                Err(error) => failure = Some(failure.unwrap_or(error)),
            }
        }
        match failure {
            _ if gone => Outcome::Gone,
            Some(failure) => Outcome::Failed(failure),
            None => Outcome::Done { fruits },
        }
    }

    /// Makes a candidate that was taken off its shelf the claim's.
    async fn take_for(&self, claim: &SandboxClaim, candidate: &Candidate, pool: &Key) -> Act {
        let known = {
            let world = self.index.world();
            let sandbox = world.sandboxes.get(&candidate.key).cloned();
            sandbox.map(|it| (port_of(&world, &candidate.key, &it), it))
        };
        let Some((port, sandbox)) = known else {
            self.reshelve(candidate, pool, Reshelve::Always);
            return Ok(Left::Nothing);
        };
        let init = introduction(claim, port, address(&sandbox));
        let now = self.clock.now();
        let patch = bind::bind(&sandbox, &candidate.precondition, claim, now, init.as_ref());
        let patch = patch.map_err(|message| {
            self.reshelve(candidate, pool, Reshelve::Always);
            let refused = WriteError::Refused(message);
            Failure::write("bind", Kind::KruiseSandbox, &candidate.key, refused)
        })?;
        let attempt = Attempt {
            claim: claim.metadata.key(),
            life: claim.metadata.uid(),
            candidate: candidate.clone(),
            pool: pool.clone(),
            patch,
        };
        Ok(match self.commit(attempt).await? {
            Bound::Yes(sandbox) => Left::Sandbox(sandbox),
            Bound::TakenByOthers => Left::Nothing,
        })
    }

    /// Starts sandboxes of these names, which the ledger has already.
    async fn start_for(
        &self,
        subject: &Subject,
        claim: &SandboxClaim,
        pool: &Key,
        names: &[Key],
    ) -> Vec<Act> {
        let bodies = cold_bodies(&self.index.world(), claim, pool, names, self.clock.now());
        let Some(bodies) = bodies else {
            // The set or its template went since the plan; that has its own wake-up.
            let mut world = self.index.world();
            for name in names {
                world.ledger.create_refused(subject, Kind::KruiseSandbox, name);
            }
            return vec![Ok(Left::Nothing)];
        };
        let starts =
            names.iter().zip(bodies).map(|(name, body)| self.start(subject, pool, name, body));
        join_all(starts).await
    }

    async fn start(
        &self,
        subject: &Subject,
        pool: &Key,
        name: &Key,
        body: Result<Value, String>,
    ) -> Act {
        let failed = |source| Failure::write("create", Kind::KruiseSandbox, name, source);
        let created = match body {
            Ok(body) => {
                self.writer
                    .create(Kind::KruiseSandbox, &name.namespace, &body, Urgency::Urgent)
                    .await
            }
            Err(message) => Err(WriteError::Refused(message)),
        };
        match created {
            Ok(written) => {
                self.wrote(subject, Kind::KruiseSandbox, &written);
                self.metrics.adoption(&name.namespace, &pool.name, Adoption::Cold, Duration::ZERO);
                Ok(Left::Sandbox(Box::new(written.object().map_err(failed)?)))
            }
            Err(source) => {
                if source.is_certain() {
                    self.index.world().ledger.create_refused(subject, Kind::KruiseSandbox, name);
                } else {
                    self.memory.create_lost(subject, Kind::KruiseSandbox, name, Name::Invented);
                }
                Err(failed(source))
            }
        }
    }

    /// Tells the runtime in a sandbox for whom it runs, and writes down on the sandbox how that went.
    async fn tell_runtime(&self, subject: &Subject, key: &Key, recent: &Overlay) -> Act {
        let known = {
            let world = self.index.world();
            let (sandbox, telling) = match (recent.sandboxes.get(key), world.sandboxes.get(key)) {
                (Some(own), _) => (own.clone(), Telling::First),
                (None, Some(known)) => ((**known).clone(), Telling::Again),
                (None, None) => return Ok(Left::Nothing),
            };
            let port = port_of(&world, key, &sandbox);
            let ip = address(&sandbox).or_else(|| {
                let pod = world.pod_of(&sandbox.metadata.uid())?;
                pod.ips().first()?.parse().ok()
            });
            (sandbox, telling, port, ip)
        };
        let (sandbox, telling, port, ip) = known;
        let request = InitRequest::noted(&sandbox.metadata.annotations).unwrap_or_default();
        let outcome = match (ip, port) {
            (Some(ip), Some(port)) => {
                runtime::tell(ip, port, &request, telling).await.map_err(|error| error.line())
            }
            _ => Err("the sandbox has no address".to_owned()),
        };
        let (verdict, reason, message) = match &outcome {
            Ok(()) => (Verdict::True, "Succeeded", String::new()),
            Err(message) => (Verdict::False, "Failed", message.clone()),
        };
        let generation = sandbox.metadata.generation;
        let told = Condition::new(inside::CONDITION, verdict, reason, message, generation);
        let others = sandbox.status.conditions.iter().filter(|it| it.kind != inside::CONDITION);
        let wanted = others.cloned().chain([told]).collect();
        let conditions = merge(&sandbox.status.conditions, wanted, self.clock.now());
        let patch = json!({
            "metadata": {"uid": sandbox.metadata.uid, "resourceVersion": sandbox.metadata.resource_version},
            "status": {"conditions": conditions},
        });
        let written = self
            .writer
            .patch(Kind::KruiseSandbox, key, Part::Status, &patch, Urgency::Urgent)
            .await;
        self.left("report on the runtime of", subject, key, written)
    }

    async fn reserve(&self, subject: &Subject, key: &Key, precondition: &Precondition) -> Act {
        let patch = bind::reserve(precondition);
        let written =
            self.writer.patch(Kind::KruiseSandbox, key, Part::Main, &patch, Urgency::Urgent).await;
        self.left("put aside", subject, key, written)
    }

    /// A conditional write to a sandbox of the claim. If it was refused, the sandbox changed, and the watch shows how: the claim is looked at again then.
    fn left(
        &self,
        verb: &'static str,
        subject: &Subject,
        key: &Key,
        written: Result<Written, WriteError>,
    ) -> Act {
        let failed = |source| Failure::write(verb, Kind::KruiseSandbox, key, source);
        match written {
            Ok(written) => {
                self.wrote(subject, Kind::KruiseSandbox, &written);
                Ok(Left::Sandbox(Box::new(written.object().map_err(failed)?)))
            }
            Err(WriteError::Gone(_)) => Ok(Left::Removed(key.clone())),
            Err(source) => Err(failed(source)),
        }
    }

    /// Deletes a sandbox that nobody was told of, if it is still as the plan saw it: a moment later it may be ready.
    async fn discard(&self, subject: &Subject, key: &Key, precondition: &Precondition) -> Act {
        let insist = DeletePrecondition::Unchanged(precondition);
        let (kind, background) = (Kind::KruiseSandbox, Propagation::Background);
        match self.writer.delete(kind, key, insist, background, Urgency::Urgent).await {
            Ok(()) => Ok(Left::Removed(key.clone())),
            Err(source) => {
                self.index.world().ledger.delete_settled(subject, kind, &precondition.uid);
                match source {
                    WriteError::Gone(_) => Ok(Left::Removed(key.clone())),
                    source => Err(Failure::write("delete", kind, key, source)),
                }
            }
        }
    }

    async fn delete_batch(&self, subject: &Subject, precondition: &Precondition) -> Act {
        let (kind, key, life) =
            (Kind::KruiseClaim, subject.key(), DeletePrecondition::Life(&precondition.uid));
        match self
            .writer
            .delete(kind, key, life, Propagation::Background, Urgency::Background)
            .await
        {
            Ok(()) | Err(WriteError::Gone(_)) => Ok(Left::Gone),
            Err(source) => Err(Failure::write("delete", kind, key, source)),
        }
    }
}

/// What the set would make under these names, for the claim; nothing if the set or its template is not there.
fn cold_bodies(
    world: &World<Kruise>,
    claim: &SandboxClaim,
    pool: &Key,
    names: &[Key],
    now: Timestamp,
) -> Option<Vec<Result<Value, String>>> {
    let set = world.pools.get(pool)?;
    let revision = <SandboxSet as family::Pool<Kruise>>::terms(world, set).revision?;
    let member = <SandboxSet as family::Pool<Kruise>>::blueprint(world, set, &revision)?;
    let template = set.spec.block.template_ref.as_ref();
    let template = template.and_then(|it| world.templates.get(&pool.sibling(&it.name)));
    let port = inside::port(&Pairs::new(), set.spec.block.pod(template.map(Arc::as_ref)));
    let body =
        |name: &Key| cold::cold(member(name), claim, now, introduction(claim, port, None).as_ref());
    Some(names.iter().map(body).collect())
}

/// What the runtime inside will be told, with a token of its own that nobody can guess; nothing where there is none to tell, or it is to be left alone.
fn introduction(
    claim: &SandboxClaim,
    port: Option<u16>,
    ip: Option<IpAddr>,
) -> Option<Introduction> {
    let port = port.filter(|_| !claim.spec.skip_init_runtime)?;
    let request = InitRequest {
        env_vars: claim.spec.env_vars.clone(),
        access_token: uuid::Uuid::new_v4().to_string(),
    };
    Some(Introduction {
        request,
        url: ip.map(|ip| format!("http://{}", SocketAddr::new(ip, port))),
    })
}

/// Where a sandbox can be reached, by its status.
fn address(sandbox: &Sandbox) -> Option<IpAddr> {
    let status = &sandbox.status;
    [&status.sandbox_ip, &status.pod_info.pod_ip].into_iter().find_map(|ip| ip.parse().ok())
}
