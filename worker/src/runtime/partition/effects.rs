//! Carrying out what the machine of a partition decides: encoding here and now, the rest on tasks that report back.

use super::{Flight, Partition, Replay};
use crate::cut::{CutPlan, Effect, HoldReason, Input, MANIFEST_VERSION, Manifest};
use crate::events::DECODER_VERSION;
use crate::files::{Close, EncodedFile, FileKind, Format, read_footer};
use crate::kafka::poll::Command;
use crate::runtime::lane::Done;
use crate::store::ledger::nonce;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::task::AbortHandle;
use tracing::{info, warn};

impl Partition {
    pub(super) fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.effect(effect);
        }
    }

    fn effect(&mut self, effect: Effect) {
        let at = self.at.clone();
        match effect {
            Effect::Resolve => {
                let session = Arc::clone(&self.shared.session);
                let task = async move { Done::Resolved(session.resolve(&at).await) };
                self.resolving = Some(self.shared.spawn(self.at.clone(), self.born, task));
            }
            Effect::Discard => self.discard(),
            Effect::DiscardOpen => self.discard_open(),
            Effect::Seek { offset, epoch, generation } => {
                self.paused = false;
                self.generation = generation;
                self.shared.command(Command::Seek { at, offset, epoch, generation });
            }
            Effect::Pause => self.shared.command(Command::Pause(at)),
            Effect::Cut(plan) => self.cut(plan),
            Effect::PutFiles(which) => self.put_files(which),
            Effect::CheckFiles(manifest) => self.check_files(manifest),
            Effect::Replay(manifest) => {
                info!(partition = %at, from = manifest.from, to = manifest.to, "reading an unfinished cut again");
                let moved = (manifest.from, self.shared.now());
                let missing = std::mem::take(&mut self.missing);
                self.replay = Some(Replay { manifest, missing, generation: 0, moved });
            }
            Effect::EncodeReplay { incomplete } => self.encode_replay(incomplete),
            Effect::CopyDead(manifest) => self.copy_dead(manifest),
            Effect::Finished => self.finish_flight(),
            Effect::Commit { offset, epoch, nonce } => {
                let metadata = self.shared.note(nonce);
                self.committing = Some(offset);
                self.traces.commits(offset);
                self.shared.command(Command::Commit { at, offset, epoch, metadata });
            }
            Effect::MarkDone(from) => self.with_ledger(move |ledger, id| async move {
                ledger.mark_done(&at.topic, &id, at.partition, from).await;
            }),
            Effect::NameLoss { from, to } => self.unnamed.push((from, to)),
            Effect::Held(hold) => {
                warn!(partition = %at, reason = hold.reason.as_str(), from = hold.from, to = hold.to, detail = hold.detail, "on hold");
            }
            Effect::Release => {
                self.released = true;
                self.shared.command(Command::Released(at));
            }
        }
    }

    /// Encodes the open cut and puts its manifest.
    fn cut(&mut self, plan: CutPlan) {
        let nonce = nonce();
        let close = Close {
            from: plan.from,
            to: plan.to,
            nonce: nonce.clone(),
            decoder_version: DECODER_VERSION,
            incomplete: false,
        };
        self.shared.metrics.cuts.with_label_values(&[plan.trigger.as_str()]).inc();
        let traced = self.traces.closes((plan.from, plan.to), &close.nonce, plan.trigger.as_str());
        let step = traced.encode();
        let encoded = self.writer.take().map_or(Ok(vec![]), |writer| self.shared.close(writer, &close));
        let files = match encoded {
            Ok(files) => files,
            Err(error) => {
                step.fails("encode");
                return self.input(Input::Stuck { reason: HoldReason::Unencodable, detail: error.to_string() });
            }
        };
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            ledger: self.shared.ledger_id().to_owned(),
            topic: self.at.topic.to_string(),
            partition: self.at.partition,
            from: plan.from,
            to: plan.to,
            epoch: plan.epoch,
            prev: plan.prev,
            nonce,
            rules: self.shared.rules.digest(),
            decoder_version: DECODER_VERSION,
            files: files.iter().map(|file| file.plan.clone()).collect(),
            dead: plan.dead,
            filtered: plan.filtered,
            absent: plan.absent,
            lost: plan.lost,
        };
        drop(step);
        self.hold_bodies(manifest.clone(), files, false);
        let (session, at, id) = (Arc::clone(&self.shared.session), self.at.clone(), self.identity());
        self.spawn(async move {
            if session.was_made_again(&at.topic, &id.topic_id).await {
                return Done::TopicMadeAgain;
            }
            let _step = traced.manifest();
            Done::ManifestPut(session.ledger().put_manifest(&id.topic_id, manifest).await)
        });
    }

    /// The bodies stay in memory, and in the budget, until nobody needs them.
    fn hold_bodies(&mut self, manifest: Manifest, files: Vec<EncodedFile>, from_files: bool) {
        let bodies: Vec<Bytes> = files.into_iter().map(|file| file.body).collect();
        self.shared.budget.change(&mut self.held_bodies, bodies.iter().map(Bytes::len).sum());
        self.shared.budget.change(&mut self.held_writer, 0);
        self.flight = Some(Flight { manifest, bodies, from_files });
    }

    fn put_files(&mut self, which: Vec<usize>) {
        let Some(flight) = &self.flight else { return };
        let puts: Vec<_> =
            which.iter().map(|&i| (flight.manifest.files[i].clone(), flight.bodies[i].clone())).collect();
        let (shared, manifest) = (Arc::clone(&self.shared), flight.manifest.clone());
        let (names, traced) = (self.name_losses(), self.traces.parent());
        self.spawn(async move {
            names.await;
            let one = |(plan, body): (crate::files::PlannedFile, Bytes)| {
                let (shared, manifest, traced) = (&shared, &manifest, &traced);
                async move {
                    let step = traced.upload(&plan, body.len());
                    let result = shared.put_file(manifest, &plan, &body).await;
                    if result.is_err() {
                        step.fails("foreign");
                    }
                    result
                }
            };
            let results = futures::future::join_all(puts.into_iter().map(one)).await;
            Done::FilesPut(results.into_iter().collect())
        });
    }

    /// All files of the cut in flight are in the store: whatever becomes of the copy, they stand and are counted.
    pub(super) fn files_stand(&mut self) {
        let Some(flight) = &mut self.flight else { return };
        let left = flight.drop_bodies(self.shared.dead_letters.is_some());
        self.shared.budget.change(&mut self.held_bodies, left);
        self.traces.lands();
        let metrics = &self.shared.metrics;
        for file in &flight.manifest.files {
            let rows = if file.kind == FileKind::Rows { &metrics.written } else { &metrics.dead };
            rows.inc_by(file.rows);
        }
    }

    /// The cut in flight needs nothing more.
    fn finish_flight(&mut self) {
        let Some(Flight { manifest, .. }) = self.flight.take() else { return };
        self.shared.budget.change(&mut self.held_bodies, 0);
        info!(
            partition = %self.at, from = manifest.from, to = manifest.to, files = manifest.files.len(),
            dead = manifest.dead.len(), "cut finished"
        );
    }

    fn check_files(&mut self, manifest: Manifest) {
        info!(partition = %self.at, from = manifest.from, to = manifest.to, nonce = manifest.nonce, "adopting a cut");
        let traced = self.traces.adopts((manifest.from, manifest.to), &manifest.nonce);
        let ledger = self.shared.session.ledger().clone();
        let ours = manifest.rules == self.shared.rules.digest();
        let names = self.name_losses();
        self.spawn(async move {
            names.await;
            let _step = traced.check();
            let result = ledger.missing_files(&manifest).await;
            let rules = match &result {
                Ok(missing) if !ours && !missing.is_empty() => Some(ledger.rules(&manifest.rules).await),
                _ => None,
            };
            Done::FilesChecked { result, rules }
        });
    }

    /// Puts the names of losses into the bucket: nobody looks for losses in a cut whose files are there.
    fn name_losses(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let unnamed = std::mem::take(&mut self.unnamed);
        let (ledger, at, id) = (self.shared.session.ledger().clone(), self.at.clone(), self.identity());
        async move {
            for range in unnamed {
                ledger.name_loss(&at.topic, &id.topic_id, at.partition, range).await;
            }
        }
    }

    /// Encodes what was read again and compares the missing files with what the manifest promised.
    fn encode_replay(&mut self, incomplete: bool) {
        let writer = self.writer.take().map_or_else(|| self.new_writer(), Ok);
        let Some(Replay { manifest, missing, .. }) = self.replay.take() else { return };
        let close = Close {
            from: manifest.from,
            to: manifest.to,
            nonce: manifest.nonce.clone(),
            decoder_version: DECODER_VERSION,
            // Files that differ say so in their footers; whether they may is judged below.
            incomplete: true,
        };
        let step = self.traces.closes((manifest.from, manifest.to), &manifest.nonce, "adopted").encode();
        let encoded = writer.and_then(|writer| writer.finish(&close)).map_err(|e| e.to_string());
        drop(step);
        let result = encoded.and_then(|files| {
            let files = in_plan_order(files, &manifest)?;
            let differs = |at: &&usize| !incomplete && !is_whole(&files[**at]);
            if let Some(at) = missing.files.iter().find(differs) {
                return Err(format!(
                    "decoder {DECODER_VERSION} does not give the rows of {} that decoder {} promised in manifest {}: \
                     run that version again",
                    manifest.files[*at].key, manifest.decoder_version, manifest.nonce
                ));
            }
            Ok(files)
        });
        let result = result.map(|files| self.hold_bodies(manifest, files, true));
        self.input(Input::Replayed(result));
    }

    pub(super) fn discard(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
        self.era = self.eras.fetch_add(1, Ordering::Relaxed);
        self.unnamed.clear();
        self.flight = None;
        self.shared.budget.change(&mut self.held_bodies, 0);
        self.discard_open();
    }

    /// Drops what was read for the open cut.
    fn discard_open(&mut self) {
        self.traces.discards();
        self.writer = None;
        self.replay = None;
        self.shared.budget.change(&mut self.held_writer, 0);
        self.shared.budget.sub(self.waiting.clear());
    }

    /// Runs something that waits and reports back; aborted when its result no longer matters.
    pub(super) fn spawn(&mut self, task: impl Future<Output = Done> + Send + 'static) -> AbortHandle {
        self.tasks.retain(|task| !task.is_finished());
        let handle = self.shared.spawn(self.at.clone(), self.era, task);
        self.tasks.push(handle.clone());
        handle
    }

    /// Runs something that nobody waits for.
    fn with_ledger<F, Fut>(&self, task: F)
    where
        F: FnOnce(crate::store::ledger::Ledger, String) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let id = self.identity().topic_id.clone();
        self.shared.detach(task(self.shared.session.ledger().clone(), id));
    }
}

/// The encoded files in the order of the manifest.
fn in_plan_order(mut files: Vec<EncodedFile>, manifest: &Manifest) -> Result<Vec<EncodedFile>, String> {
    let mut ordered = Vec::with_capacity(files.len());
    for plan in &manifest.files {
        let at = files.iter().position(|file| file.plan.key == plan.key);
        ordered.push(files.swap_remove(at.ok_or_else(|| format!("no rows for {}", plan.key))?));
    }
    Ok(ordered)
}

/// True when a file has all the rows that were planned for it.
fn is_whole(EncodedFile { plan, body }: &EncodedFile) -> bool {
    read_footer(Format::of(&plan.key), body, body.len() as u64).is_ok_and(|footer| !footer.incomplete)
}
