//! The faults of the loop, by what they spoil. Those of starting and stopping, which no connection
//! sees, are where a server starts (`start.rs`, `listener.rs`, `announcement.rs`) and stops.

mod accepting;
mod bytes;
mod capabilities;
mod children;
mod crosstalk;
pub(crate) mod datagrams;
mod delays;
mod dying;
mod ending;
mod hardship;
mod hoarding;
mod hostile;
mod idling;
mod odd;
mod pressure;
mod rings;
mod stopping;
mod unfair;

use std::time::{Duration, Instant};

use crate::connection::Over;
use crate::fault::Fault;
use crate::hooks::{Correct, Hooks};

pub(crate) use children::{CHILD, be_child};
pub(crate) use odd::buffer_bytes;
pub(crate) use stopping::at_stop;

/// What `fault` does in the loop. `at` moves the place where it strikes.
#[expect(clippy::too_many_lines, reason = "one arm per fault")]
pub(crate) fn hooks(fault: Option<Fault>, at: Option<u64>) -> Box<dyn Hooks> {
    let Some(fault) = fault else {
        return Box::new(Correct);
    };
    #[rustfmt::skip]
    let hooks: Box<dyn Hooks> = match fault {
        Fault::First1024Bytes => Box::new(bytes::First1024Bytes { at: at.unwrap_or(300) }),
        Fault::StripsMark => Box::new(bytes::StripsMark),
        Fault::KeepsHistory => Box::new(hoarding::KeepsHistory),
        Fault::LosesTinyRead => Box::new(bytes::LosesTinyRead { at: at.unwrap_or(100) }),
        Fault::TranslatesCrlf => Box::new(bytes::TranslatesCrlf),
        Fault::ObeysQuit => Box::new(bytes::ObeysQuit),
        Fault::FlipsLoneByte => Box::new(bytes::FlipsLoneByte),
        Fault::EndsAfterMessages => Box::new(bytes::EndsAfterMessages { at: at.unwrap_or(500) }),
        Fault::SwapsChunks => Box::new(bytes::SwapsChunks { at: at.unwrap_or(300) }),
        Fault::WritesStaleTail => Box::new(bytes::WritesStaleTail),
        Fault::LosesSmallMessage => Box::new(bytes::LosesSmallMessage { at: at.unwrap_or(100) }),
        Fault::FlipsBit => Box::new(bytes::FlipsBit { at: at.unwrap_or(8 << 20) }),
        Fault::LosesReadAtWrap => Box::new(bytes::LosesReadAtWrap { at: at.unwrap_or(4 << 20) }),
        Fault::WrapsAt4Gib => Box::new(bytes::LosesReadAtWrap { at: at.unwrap_or(1 << 32) }),
        Fault::FloodsClients => Box::new(hostile::FloodsClients),
        Fault::Drips => Box::new(hostile::Drips),
        Fault::LosesByteAfterTiny => Box::new(bytes::LosesByteAfterTiny),
        Fault::LateExtraByte => Box::new(delays::LateExtraByte),
        Fault::LineBuffered => Box::new(delays::LineBuffered),
        Fault::Collects40Ms => Box::new(delays::Collects),
        Fault::Nagle => Box::new(delays::Nagle),
        Fault::NagleOnLater => Box::new(delays::NagleOnLater::default()),
        Fault::Greets => Box::new(delays::Greets),
        Fault::DropsDataWithConnect => Box::new(accepting::DropsData::at(at.unwrap_or(25))),
        Fault::DiesOfUrgentByte => Box::new(dying::DiesOfUrgentByte),
        Fault::SharedBuffer => Box::new(crosstalk::SharedBuffer::default()),
        Fault::FlipsBeyond9000 => Box::new(crosstalk::FlipsBeyond { at: at.unwrap_or(9000) }),
        Fault::CrossesBeyond64 => Box::new(crosstalk::CrossesBeyond64::at(at.unwrap_or(50))),
        Fault::ResetsHarmNeighbours => Box::new(crosstalk::ResetsHarm::at(at.unwrap_or(20))),
        Fault::CorruptsAfterChurn => Box::new(crosstalk::CorruptsAfterChurn::at(at.unwrap_or(100))),
        Fault::RemembersSlot => Box::new(crosstalk::RemembersSlot::at(at.unwrap_or(30))),
        Fault::KeepsSlotBytes => Box::new(crosstalk::KeepsSlotBytes::default()),
        Fault::ConfusesPorts => Box::new(crosstalk::ConfusesPorts::default()),
        Fault::CleansUpSuccessor => Box::new(accepting::CleansUpSuccessor::default()),
        Fault::IgnoresShortWrite => Box::new(pressure::IgnoresShortWrite),
        Fault::ReadsWhileWriting => Box::new(pressure::ReadsWhileWriting),
        Fault::RestartsShortWrite => Box::new(pressure::RestartsShortWrite),
        Fault::ForgetsWriteInterest => Box::new(pressure::ForgetsWriteInterest),
        Fault::StallsAfterResumes => Box::new(pressure::StallsAfterResumes { at: at.unwrap_or(3) }),
        Fault::DeadlocksOnDuplex => Box::new(pressure::DeadlocksOnDuplex),
        Fault::RetriesWriteAtOnce => Box::new(pressure::RetriesWriteAtOnce),
        Fault::SpinsOnUnread => Box::new(pressure::SpinsOnUnread),
        Fault::BlockingWrite => Box::new(pressure::BlockingWrite),
        Fault::UnboundedQueue => Box::new(pressure::UnboundedQueue),
        Fault::UnboundedOnceResumed => Box::new(pressure::UnboundedOnceResumed),
        Fault::BlocksWorkers => Box::new(unfair::BlocksWorkers::of(at.unwrap_or(100))),
        Fault::GivesUpBlocked => Box::new(pressure::GivesUpBlocked),
        Fault::PoolOf64 => Box::new(pressure::Pool { left: at.unwrap_or(64) }),
        Fault::DeafWhileBlocked => Box::new(pressure::DeafWhileBlocked::at(at.unwrap_or(16))),
        Fault::RepeatsLastChunk => Box::new(ending::RepeatsLastChunk),
        Fault::ClosesUnflushed => Box::new(ending::ClosesUnflushed),
        Fault::DropsDataWithFin => Box::new(ending::DropsDataWithFin),
        Fault::NeverSendsFin => Box::new(ending::NeverSendsFin),
        Fault::MissesLateFin => Box::new(ending::MissesLateFin),
        Fault::ForgetsFinInBatch => Box::new(ending::ForgetsFinInBatch::at(at.unwrap_or(16))),
        Fault::ResetsAfterFin => Box::new(ending::ResetsAfterFin),
        Fault::LeaksIdleOnFin => Box::new(ending::Leaks::when(ending::idle_fin)),
        Fault::LeaksAfterBrokenEcho => Box::new(ending::Leaks::when(ending::broken_echo)),
        Fault::LeaksOnIdleReset => Box::new(ending::Leaks::when(ending::idle_reset)),
        Fault::LeaksOnBlockedReset => Box::new(ending::Leaks::when(ending::blocked_reset)),
        Fault::LeaksOnBlockedFin => Box::new(ending::LeaksOnBlockedFin::default()),
        Fault::Leaks64KibWhenBlocked => {
            Box::new(hoarding::LeaksMemory::of(65536, ending::blocked_reset))
        }
        Fault::LateFinAfterStream => Box::new(ending::LateFinAfterStream),
        Fault::DiesOfFailedWrite => Box::new(dying::DiesOfFailedWrite),
        Fault::UnwrapsShutdown => Box::new(dying::UnwrapsShutdown),
        Fault::DiesInCloseStorm => Box::new(dying::DiesInCloseStorm::at(at.unwrap_or(40))),
        Fault::DiesAfterCloses => Box::new(dying::DiesAfterCloses { left: at.unwrap_or(400) }),
        Fault::ChecksErrorFirst => Box::new(ending::ChecksErrorFirst),
        Fault::UnwrapsPeerAddress => Box::new(dying::UnwrapsPeerAddress),
        Fault::AcceptErrorEndsProcess => Box::new(dying::AcceptErrorEndsProcess),
        Fault::RetriesAcceptAtOnce => Box::new(accepting::RetriesAtOnce),
        Fault::ParksListener => Box::new(accepting::ParksListener),
        Fault::ParksThirdTime => Box::new(accepting::ParksAtLast::after(at.unwrap_or(3))),
        Fault::TurnsAwayAtLimit => Box::new(accepting::TurnsAway),
        Fault::SleepsAtAcceptError => Box::new(accepting::SleepsAtError),
        Fault::WaitsForFirstByte => Box::new(accepting::WaitsForFirstByte::default()),
        Fault::TableOf1000 => Box::new(dying::Table { size: limit(at, 1000) }),
        Fault::ForgetsInBurst => Box::new(accepting::ForgetsInBurst::at(limit(at, 256))),
        Fault::DeafAfterQuiet => Box::new(accepting::DeafAfterQuiet::default()),
        Fault::AcceptsOnlyWhenCool => Box::new(accepting::AcceptsOnlyWhenCool::default()),
        Fault::ResetsQueued => Box::new(accepting::ResetsQueued::default()),
        Fault::IgnoresBeyond900 => Box::new(accepting::IgnoresBeyond { size: limit(at, 900) }),
        Fault::StarvesBesideHot => Box::new(unfair::StarvesBesideHot::default()),
        Fault::FeedsThree => Box::new(unfair::FeedsThree::default()),
        Fault::FavoursFirst => Box::new(unfair::FavoursFirst::default()),
        Fault::SlowToAccept => Box::new(unfair::SlowToAccept),
        Fault::SlowBesideMany => Box::new(unfair::SlowBesideMany),
        Fault::LosesAfterGap => Box::new(hardship::LosesAfterGap::default()),
        Fault::WorksInLoop => Box::new(capabilities::WorksInLoop),
        Fault::ForgetsJobs => Box::new(capabilities::ForgetsJobs::beyond(limit(at, 2))),
        Fault::LosesLateAccept => Box::new(capabilities::LosesLateAccept),
        Fault::LosesLateRead => Box::new(capabilities::LosesLateRead),
        Fault::ClosesSilent => Box::new(idling::ClosesSilent),
        Fault::PollsWhenIdle => Box::new(idling::PollsWhenIdle),
        Fault::ScansConnections => Box::new(idling::Scans { beyond: limit(at, 256) }),
        Fault::ReadsOnAtFin => Box::new(idling::ReadsOnAtFin),
        Fault::WakesEachMs => Box::new(idling::WakesEachMs),
        Fault::WaitsInRing => Box::new(rings::Ring::beside_one_that_is_waited_in()),
        Fault::PolledRing => Box::new(rings::Ring::polled_by_the_kernel()),
        Fault::LeaksAfterFin => {
            Box::new(ending::Leaks::when(ending::fin).each(at.unwrap_or(20)))
        }
        Fault::LeaksAfterReset => {
            Box::new(ending::Leaks::when(ending::reset).each(at.unwrap_or(20)))
        }
        Fault::LeaksAbortedAccept => {
            Box::new(ending::Leaks::when(ending::at_once).each(at.unwrap_or(10)))
        }
        Fault::ChildLeaksDescriptors => Box::new(children::TellsChild::of_fins(at.unwrap_or(20))),
        Fault::ChildLeaksMemory => Box::new(children::TellsChild::of_resets()),
        Fault::ChildSpins => Box::new(children::TellsChild::of_ends()),
        Fault::Leaks4Kib => Box::new(hoarding::LeaksMemory::of(4096, |_, _| true)),
        Fault::Leaks64KibOnReset => Box::new(hoarding::LeaksMemory::of(65536, ending::reset)),
        Fault::Keeps64Kib => Box::new(hoarding::Keeps64Kib),
        Fault::ThreadPerConnection => Box::new(hoarding::ThreadPerConnection::default()),
        Fault::WastesCpu => Box::new(hoarding::WastesCpu),
        Fault::UpsetsKernel => Box::new(accepting::UpsetsKernel::at(at.unwrap_or(150))),
        Fault::GarbageAtStop => Box::new(stopping::GarbageAtStop),
        Fault::LogsOnStdout => Box::new(odd::LogsOnStdout),
        Fault::OddOneByte => Box::new(odd::OneByte),
        Fault::OddDelay => Box::new(odd::Delay),
        Fault::OddLateClose => Box::new(odd::LateClose),
        Fault::OddRandomReads => Box::new(odd::RandomReads::default()),
        Fault::SpoilsUnix => Box::new(bytes::SpoilsOver::new(Over::Unix, at)),
        Fault::SpoilsIpv6 => Box::new(bytes::SpoilsOver::new(Over::Ipv6, at)),
        Fault::DoublesReply
        | Fault::MergesDatagrams
        | Fault::EndsAtEmpty
        | Fault::DropsEmpty
        | Fault::ShortBuffer
        | Fault::DiesOfLong
        | Fault::EndsAtError
        | Fault::RepliesToLast
        | Fault::DeafAfterBurst
        | Fault::StallsOnLargeReply
        | Fault::ForgetsIpv6Datagrams
        | Fault::ForgetsMappedClients
        | Fault::KeepsDatagramsAtStop
        | Fault::DrainsDatagramsFirst
        | Fault::DiesOfUnnamed
        | Fault::EndsAtSendError
        | Fault::WaitsForFullPeer
        | Fault::UnlinksPath
        | Fault::RefusesExistingPath
        | Fault::LeavesPath
        | Fault::UnlinksSuccessor
        | Fault::PanicsOnLongPath
        | Fault::NoAbstractNames
        | Fault::IgnoresDualStack
        | Fault::TakesBothFamilies
        | Fault::DiesOfFilter
        | Fault::DiesOfMemlock
        | Fault::NeedsIpv6
        | Fault::PanicsUnheard
        | Fault::PanicsAtFailedStart
        | Fault::DiesOfEintr
        | Fault::RefusesThirdStart
        | Fault::ExitsAtOnce
        | Fault::ResetsYoungAtStop
        | Fault::WaitsForAccept
        | Fault::IgnoresSigint
        | Fault::IgnoresSecondSignal
        | Fault::IgnoresStdinEof
        | Fault::WaitsForIdle
        | Fault::AbortsUnderLoad
        | Fault::KeepsAccepting
        | Fault::Exits3
        | Fault::AnnouncesBeforeListening
        | Fault::AnnouncesPortZero
        | Fault::ExitsZeroOnBindFailure
        | Fault::ReusePort
        | Fault::NoReuseAddress
        | Fault::LockFile
        | Fault::IgnoresBadArguments
        | Fault::UnsupportedExits1
        | Fault::UnsupportedWithoutReason
        | Fault::SaysIoUring
        | Fault::UnusedRing
        | Fault::NeverAnnounces
        | Fault::PrintsGarbage
        | Fault::DiesEarly
        | Fault::Hangs
        | Fault::FloodsStderr
        | Fault::ClosesStreams
        | Fault::LeavesChild
        | Fault::LacksCapabilities
        | Fault::OddSmallBuffers
        | Fault::OddLargeBuffer => Box::new(Correct),
    };
    hooks
}

/// A number of connections.
fn limit(at: Option<u64>, default: usize) -> usize {
    at.map_or(default, |at| usize::try_from(at).unwrap_or(usize::MAX))
}

/// How often something has happened within the last `span`.
struct Burst {
    span: Duration,
    began: Option<Instant>,
    count: usize,
}

impl Burst {
    fn within(span: Duration) -> Self {
        Self { span, began: None, count: 0 }
    }

    /// It happened once more; how often it has since the span began.
    fn count(&mut self) -> usize {
        if self.began.is_none_or(|began| began.elapsed() > self.span) {
            self.began = Some(Instant::now());
            self.count = 0;
        }
        self.count += 1;
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_ends_with_its_span() {
        let mut long = Burst::within(Duration::from_secs(3600));
        assert_eq!([long.count(), long.count(), long.count()], [1, 2, 3]);
        let mut none = Burst::within(Duration::ZERO);
        none.count();
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(none.count(), 1);
    }
}
