//! What goes into the partition machine and what comes out of it.

use super::{Hold, HoldReason, Manifest, Ranges, Resolution, Trigger};

/// What the caller learns and passes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Tip, genesis and committed offset are known.
    Resolved(Resolution),
    /// Time passes; at least twice a second.
    Tick,
    /// Encoded size of the largest file of the open cut.
    Size(u64),
    /// The consumer's position, after every record below it has been taken or dropped (not [`Admit::Wait`]).
    /// After each batch and about once a second, also when it has not moved.
    Position {
        /// Read generation that it belongs to.
        generation: u64,
        /// Next offset that the consumer will deliver.
        position: i64,
    },
    /// The create-only put of the manifest is decided.
    ManifestPut(PutOutcome),
    /// Every planned file that was to be put is there; or an object differs.
    FilesPut(Result<(), String>),
    /// Which planned files of the adopted manifest are not there; or an object differs (one whose footer says
    /// `incomplete` does not).
    FilesChecked(Result<Vec<usize>, String>),
    /// The rows of an adopted cut were read again; whether they equal what the manifest promised.
    Replayed(Result<(), String>),
    /// Every dead letter of the cut in flight was taken by the dead-letter topic; or why not.
    DeadCopied(Result<(), String>),
    /// A commit was answered.
    Committed {
        /// The answer.
        ok: bool,
    },
    /// The log begins above the offset that was to be read.
    OutOfRange {
        /// Read generation that it belongs to.
        generation: u64,
        /// First offset that the log still has.
        low: i64,
    },
    /// The consumer reported an error for this partition.
    ConsumerError {
        /// Read generation that it belongs to.
        generation: u64,
        /// Which hold it means.
        reason: HoldReason,
        /// The library's words.
        detail: String,
    },
    /// The topic has another id than the one resolved for: it was deleted and made again.
    TopicMadeAgain,
    /// Going on would lose or falsify something.
    Stuck {
        /// Which hold it means.
        reason: HoldReason,
        /// What was found and the way out.
        detail: String,
    },
    /// The memory budget is short: close the cut early.
    ShortOfMemory,
    /// The store takes nothing for now, or does again. Until then no cut begins, and what a leaving partition has
    /// read is left to its next owner.
    StoreAway(bool),
    /// The partition goes away. `lost`: it already belongs to another member.
    Revoke {
        /// Nothing may be finished any more.
        lost: bool,
    },
    /// The deadline of the revocation is over.
    Deadline,
}

/// How a create-only put of a manifest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutcome {
    /// Ours is there, be it by this try or an earlier one whose reply was lost.
    Won(Manifest),
    /// Another worker's is there.
    Rival(Manifest),
}

/// What the caller must do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Find committed offset, genesis and tip, in this order: a commit that names a manifest is younger
    /// than the manifest, so a tip read first may look like a missing one. Answer with [`Input::Resolved`].
    Resolve,
    /// Drop all buffered rows and every body that waits to be put. The answers to [`Effect::Cut`],
    /// [`Effect::PutFiles`], [`Effect::CheckFiles`], [`Effect::EncodeReplay`] and [`Effect::CopyDead`] that are
    /// outstanding must not be passed on any more; a put or copy under way may still land, which is harmless.
    Discard,
    /// Drop the buffered rows of the open cut; the cut in flight and its [`Effect::CopyDead`] go on.
    DiscardOpen,
    /// Read from `offset` on, also when paused; records carry `generation` from now on.
    Seek {
        /// First offset.
        offset: i64,
        /// Leader epoch at `offset`, so that the broker validates it; -1 when unknown.
        epoch: i32,
        /// The new read generation.
        generation: u64,
    },
    /// Stop reading.
    Pause,
    /// Encode the buffered rows and put the manifest; answer with [`Input::ManifestPut`].
    Cut(CutPlan),
    /// Put these files of the manifest in flight; answer with [`Input::FilesPut`].
    PutFiles(Vec<usize>),
    /// Ask which planned files exist; answer with [`Input::FilesChecked`].
    CheckFiles(Manifest),
    /// Collect the rows that follow under this manifest's own rules.
    Replay(Manifest),
    /// Encode the rows of the adopted cut and compare the files that are missing; answer with [`Input::Replayed`].
    EncodeReplay {
        /// Source rows are gone and the settings say to go on without them: nothing is compared, and the files
        /// that are put say so in their footers.
        incomplete: bool,
    },
    /// Copy the dead letters of this manifest, whose files are all there, to the dead-letter topic; answer with
    /// [`Input::DeadCopied`].
    CopyDead(Manifest),
    /// The cut in flight is finished: its files are there and its dead letters copied.
    Finished,
    /// Commit, asynchronously; answer with [`Input::Committed`].
    Commit {
        /// Next offset to be read.
        offset: i64,
        /// Leader epoch of the last record below it; -1 when unknown.
        epoch: i32,
        /// Nonce of the finished tip.
        nonce: String,
    },
    /// Mark the cut that starts here as finished, best effort.
    MarkDone(i64),
    /// Name a loss in the ledger. The name must be there before an [`Effect::PutFiles`] or [`Effect::CheckFiles`]
    /// that follows begins: nobody looks for losses in a cut whose files are there. It may come more than once after a crash. The log lost all of it; a few of these offsets
    /// may have reached a file before.
    NameLoss {
        /// First lost offset.
        from: i64,
        /// First offset after the loss.
        to: i64,
    },
    /// The partition is on hold.
    Held(Hold),
    /// Nothing is left to do: the partition may go.
    Release,
}

/// A cut that closes now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutPlan {
    /// First offset; the previous cut's `to`.
    pub from: i64,
    /// First offset after the cut.
    pub to: i64,
    /// Leader epoch of the last record below `to`; -1 when unknown.
    pub epoch: i32,
    /// Nonce of the previous manifest.
    pub prev: String,
    /// Offsets that became dead letters.
    pub dead: Ranges,
    /// Offsets left out by policy.
    pub filtered: Ranges,
    /// Offsets that the log does not have.
    pub absent: Ranges,
    /// Offsets that the log lost.
    pub lost: Ranges,
    /// Why it closed.
    pub trigger: Trigger,
}

/// Whether a record may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    /// Decode it, put it into the open cut, then call [`Machine::taken`].
    Take,
    /// Of an older generation or below the expected offset: drop it.
    Drop,
    /// The open cut is full and another is in flight: offer it again later.
    Wait,
}
