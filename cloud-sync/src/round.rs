//! A round: one conversation about some units, from choosing what to say to how it ended.

use azure_iot::RegistrationId;
use ledger::{Event, ReadError, Reads};

use crate::{
    activate::Activating,
    amend::Amending,
    announce::{Announcing, path},
    answer::{Answer, Call, Trouble},
    books::{self, Record},
    conversation::Conversation,
    deactivate::Deactivating,
    drift::{Seen, Told},
    fence::Fencing,
    reread::Reread,
    state::{State, Want},
    work::{Amendment, Work},
    worker::Describe,
};

/// Why a job cannot be done, nor looked at.
const NOTHING_TO_SEND: &str = "its event says nothing to send";

/// What is talked about.
enum Talk {
    Units(Box<dyn Conversation>),
    /// The box looks after itself.
    Fence(Fencing),
    /// It looks whether a unit is still as it was told.
    Look(Reread),
}

/// One conversation, and the request of it that is under way.
pub(crate) struct Round {
    talk: Talk,
    /// The units, each with the pass that it is about.
    units: Vec<(RegistrationId, u32)>,
    /// The version of the record that a person wants to give way.
    decided: Option<String>,
    /// The number of the request under way.
    pub(crate) under_way: Option<u64>,
    /// The units that the last request is or was about.
    pub(crate) about: Vec<RegistrationId>,
    /// The link has failed meanwhile: what is under way is heard, and nothing more is asked.
    pub(crate) last: bool,
    /// What is asked next, once that was looked at: a call with ten enrollments is not made anew whenever the ledger
    /// changes while the budget makes it wait.
    prepared: Option<Call>,
}

impl Round {
    /// A look of the box after itself.
    pub(crate) fn fence(fencing: Fencing) -> Self {
        Self::new(Talk::Fence(fencing), Vec::new())
    }

    /// A look at `id`, by a box of generation `own`; an error, with the reason, when what was told cannot be read back.
    pub(crate) fn look<L: Reads>(
        ledger: &L,
        describe: &Describe<L::Event>,
        id: RegistrationId,
        record: &Record,
        own: u8,
    ) -> Result<Self, String>
    where
        L::Event: Event,
    {
        let told = Told::of(described(ledger, describe, &id, record)?).ok_or(NOTHING_TO_SEND)?;
        let units = vec![(id.clone(), record.state.epoch())];
        Ok(Self::new(Talk::Look(Reread::new(id, told, own)), units))
    }

    fn units(conversation: impl Conversation + 'static, units: Vec<(RegistrationId, u32)>) -> Self {
        Self::new(Talk::Units(Box::new(conversation)), units)
    }

    fn new(talk: Talk, units: Vec<(RegistrationId, u32)>) -> Self {
        Self { talk, units, decided: None, under_way: None, about: Vec::new(), last: false, prepared: None }
    }

    /// The same on the strength of a person's decision.
    fn decided(self, etag: Option<String>) -> Self {
        Self { decided: etag, ..self }
    }

    /// Whether what it is about still stands as it did when the round began: it waits, or is settled and looked at.
    pub(crate) fn is_wanted(&self, ledger: &impl Reads) -> Result<bool, ReadError> {
        for (id, epoch) in &self.units {
            let state = books::committed(ledger, id)?.map(|record| record.state);
            let same = |state: &State| {
                let stands =
                    if self.is_look() { state.is_told() } else { matches!(state, State::Waiting { .. }) };
                stands && state.epoch() == *epoch && state.decided() == self.decided.as_deref()
            };
            if !state.as_ref().is_some_and(same) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What to ask next; `None` when everything was said. If it has to wait, it is kept for the next time.
    pub(crate) fn next(&mut self) -> Option<Call> {
        self.prepared.take().or_else(|| match &self.talk {
            Talk::Units(conversation) => conversation.next(),
            Talk::Fence(fencing) => fencing.next(),
            Talk::Look(look) => look.next(),
        })
    }

    /// Keeps what has to wait.
    pub(crate) fn keep(&mut self, call: Call) {
        self.prepared = Some(call);
    }

    /// Whether there is nothing more to ask.
    pub(crate) fn is_over(&mut self) -> bool {
        self.prepared = self.next();
        self.last || self.prepared.is_none()
    }

    /// Asks it, as request `number`; the answer comes to [`Round::hear`].
    pub(crate) fn asks(&mut self, number: u64, call: &Call) {
        self.under_way = Some(number);
        // Whether a unit can be looked at says nothing of whether DPS can be told about it.
        if self.is_look() {
            return;
        }
        let named: Vec<_> =
            self.units.iter().map(|(id, _)| id).filter(|id| call.path == path(id)).cloned().collect();
        // A bulk names nobody in its path.
        self.about =
            if named.is_empty() { self.units.iter().map(|(id, _)| id.clone()).collect() } else { named };
    }

    /// Takes the answer to it.
    pub(crate) fn hear(&mut self, answer: &Answer) -> Result<(), Trouble> {
        match &mut self.talk {
            Talk::Units(conversation) => conversation.hear(answer),
            Talk::Fence(fencing) => fencing.hear(answer),
            Talk::Look(look) => look.hear(answer),
        }
    }

    /// Whether it only looks.
    pub(crate) fn is_look(&self) -> bool {
        matches!(self.talk, Talk::Look(_))
    }

    /// Whether it is about `id`.
    pub(crate) fn is_about(&self, id: &RegistrationId) -> bool {
        self.units.iter().any(|(unit, _)| unit == id)
    }

    /// Which pass of `id` it is about.
    pub(crate) fn epoch(&self, id: &RegistrationId) -> Option<u32> {
        self.units.iter().find(|(unit, _)| unit == id).map(|(_, epoch)| *epoch)
    }

    /// How it ended, also after trouble.
    pub(crate) fn end(self) -> (Ended, Vec<(RegistrationId, u32)>) {
        let ended = match self.talk {
            Talk::Units(conversation) => {
                let generation = conversation.generation();
                Ended::Units { outcomes: conversation.outcomes(), generation }
            }
            Talk::Fence(fencing) => Ended::Fence(fencing),
            Talk::Look(look) => Ended::Look(look.seen()),
        };
        (ended, self.units)
    }
}

/// How a round ended.
pub(crate) enum Ended {
    Units { outcomes: Vec<(RegistrationId, crate::work::Outcome)>, generation: Option<u8> },
    Fence(Fencing),
    Look(Option<Seen>),
}

/// The rounds in which `ids` are told about by a box of generation `own`, and those whose jobs cannot be read back, with the reason.
pub(crate) fn rounds<L: Reads>(
    ledger: &L,
    describe: &Describe<L::Event>,
    ids: Vec<RegistrationId>,
    own: Option<u8>,
) -> (Vec<Round>, Vec<(RegistrationId, String)>) {
    let (mut rounds, mut unreadable) = (Vec::new(), Vec::new());
    let (mut announcements, mut announced) = (Vec::new(), Vec::new());
    for id in ids {
        let Job { epoch, work, decided } = match job(ledger, describe, &id) {
            Ok(Some(found)) => found,
            // It waits no more.
            Ok(None) => continue,
            Err(why) => {
                unreadable.push((id, why));
                continue;
            }
        };
        let units = vec![(id, epoch)];
        match work {
            Work::Announce(announcement) => {
                announcements.push(announcement);
                announced.extend(units);
            }
            Work::Activate(activation) => {
                let activating = Activating::new(activation).later(epoch > 1);
                rounds.push(Round::units(activating, units));
            }
            Work::Deactivate(deactivation) => {
                rounds.push(Round::units(Deactivating::new(deactivation), units));
            }
            Work::Replace(amendment) => {
                let amending = Amending::replace(amendment).decided(decided.clone()).by(own);
                rounds.push(Round::units(amending, units).decided(decided));
            }
            Work::Withdraw(amendment) => {
                let amending = Amending::withdraw(amendment).decided(decided.clone()).by(own);
                rounds.push(Round::units(amending, units).decided(decided));
            }
        }
    }
    if !announcements.is_empty() {
        rounds.insert(0, Round::units(Announcing::new(announcements), announced));
    }
    (rounds, unreadable)
}

/// What is to be said about a unit.
struct Job {
    epoch: u32,
    work: Work,
    /// The version of the record that a person wants to give way.
    decided: Option<String>,
}

/// What is to be said about `id`; `None` when it waits no more.
fn job<L: Reads>(
    ledger: &L,
    describe: &Describe<L::Event>,
    id: &RegistrationId,
) -> Result<Option<Job>, String>
where
    L::Event: Event,
{
    let Some(record) = books::committed(ledger, id).map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    let work = match described(ledger, describe, id, &record)? {
        // A person has decided against what was found in place of the announcement.
        Work::Announce(unit) if record.state.want() == Want::Replace => {
            Work::Replace(Amendment { unit, earlier: Vec::new() })
        }
        work => work,
    };
    let (epoch, decided) = (record.state.epoch(), record.state.decided().map(str::to_owned));
    Ok(Some(Job { epoch, work, decided }))
}

/// What `record` says is to be said, or was.
fn described<L: Reads>(
    ledger: &L,
    describe: &Describe<L::Event>,
    id: &RegistrationId,
    record: &Record,
) -> Result<Work, String>
where
    L::Event: Event,
{
    let entry = ledger.entry(&record.wanted).map_err(|error| error.to_string())?;
    describe(&entry, id).ok_or_else(|| NOTHING_TO_SEND.to_owned())
}
