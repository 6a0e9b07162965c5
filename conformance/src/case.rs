//! What a case is: a plain function, and a row of its suite's table.

use std::fmt;

use harness::process::Process;
use harness::row::Row;
use harness::schedule::Sharing;
use report::Outside;
use report::host::group_digits;
use report::{Attestation, Failure, FailureKind, Grade, Level, Question, Transport};

use crate::client::datagrams::Datagrams;
use crate::client::peer::Peer;
use crate::lifecycle::Lifecycle;
use crate::profile::{Profile, Sizes};

pub type CaseResult = Result<Observation, Failure>;

/// A table of cases, which stands at the top of the suite's file.
#[derive(Debug)]
pub struct Suite {
    /// The first half of a case id.
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// The question of every case that does not name another.
    pub question: Question,
    pub cases: &'static [Case],
}

#[derive(Debug)]
pub struct Case {
    /// The second half of the case id.
    pub name: &'static str,
    /// Level for a server of grade contract.
    pub level: Level,
    /// Level for a server of a lower grade. What only the contract asks for is a SHOULD there.
    pub level_below_contract: Level,
    /// `None` means the suite's question.
    pub question: Option<Question>,
    /// The kinds of failure that answer the question; empty if every kind does. After any other
    /// kind of failure the question counts as not asked.
    pub answering_failures: &'static [FailureKind],
    /// A server that is declared to lack one of these does not get the case.
    pub features: &'static [Feature],
    /// What the server must do, in one sentence.
    pub requirement: &'static str,
    /// How much the case does in each profile. The unit is the case's own: bytes, rounds,
    /// connections.
    pub sizes: Sizes,
    /// Whether a fault may begin only above the size. The certificate then says how far the case
    /// went.
    pub reports_reach: bool,
    /// The smallest profile that runs the case.
    pub smallest_profile: Profile,
    pub needs: &'static [Need],
    /// The capability that the requirement is about, if any.
    pub capability: Option<&'static str>,
    /// The transport of the client. A server that does not offer it reports "unsupported".
    pub transport: Transport,
    /// Whether the case makes no sense on a Unix path because it is about TCP itself or IP
    /// addresses.
    pub is_tcp_only: bool,
    /// Whether other cells may run at the same time.
    pub sharing: Sharing,
    /// Whether the case judges times, which count only on a quiet host.
    pub is_timed: bool,
    /// Whether a timed case also counts on a busy host, if it passes by an uncorrected clock
    /// ([`CellClock::start_uncorrected`](crate::clock::CellClock::start_uncorrected)).
    pub passes_on_busy_host: bool,
    /// The lowest grade that gets a lifecycle case. Other bodies imply their lowest grade.
    pub lowest_grade: Grade,
    pub address_condition: AddressCondition,
    pub body: Body,
}

/// What an echo server may leave out by design. A server below grade contract can be declared to
/// lack it (`--without`); its certificate repeats the declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// After the client's FIN, echoing what arrived before it (RFC 9293, section 3.6).
    HalfClose,
    /// Keeping connections on which the client sends nothing.
    SilentClients,
}

/// What the server must have been told about where to listen before the case can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressCondition {
    /// No condition: a port, an address, or nothing because the server already listens.
    AnyPlace,
    /// An address, not only a port.
    GivenAddress,
}

/// A case's function. The type says what the case needs.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// Needs only an address, so it runs against any server that listens.
    Wire(fn(&Peer) -> CaseResult),
    /// Also needs the server's process: descriptors, CPU time, memory, signals.
    Process(fn(&Peer, &Process) -> CaseResult),
    /// Needs only a datagram socket.
    Datagrams(fn(&Datagrams) -> CaseResult),
    /// Starts and stops servers itself.
    Lifecycle(fn(&Lifecycle) -> CaseResult),
}

/// What a case needs of the host. If the host lacks it, the cell is unavailable, with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// This many open descriptors in the judge, and as many in the server.
    Descriptors(u64),
    /// An accept queue with room for this many clients.
    AcceptQueue(u32),
    /// A kernel that leaves a client in the accept queue when `accept` finds no free descriptor.
    QueueAtLimit,
    /// This many client ports, in use at the same time or in TIME_WAIT.
    ClientPorts(u32),
    /// UDP datagrams of this many bytes, with default socket options.
    UdpBytes(u32),
    /// Unix datagrams of this many bytes, with default socket options.
    UnixgramBytes(u32),
    /// Starting a server with a lower descriptor limit.
    DescriptorLimit,
    /// Counting the open descriptors of another process.
    DescriptorCount,
    /// Reading another process's CPU time.
    CpuTime,
    /// Reading another process's resident set.
    ResidentMemory,
    /// Reading how many threads another process has and whether they run.
    Threads,
    /// Seeing children of another process that have ended and that it has not waited for.
    EndedChildren,
    /// Counting another process's context switches.
    ContextSwitches,
    /// Telling which threads of another process the kernel created.
    KernelThreads,
    /// Telling which threads wait for I/O, by the kernel's accounting.
    IoWait,
    /// Reading the kernel's log.
    KernelLog,
    /// Sending signals to another process (`SIGTERM`, `SIGSTOP`).
    Signals,
    /// Reading how many bytes are in the socket queues of another process.
    SocketQueues,
    /// Seeing which I/O driver another process uses.
    Attestation,
    /// TCP urgent data.
    UrgentData,
    /// IPv6, at least on the loopback interface.
    Ipv6,
    /// Unix sockets, and a folder for their paths.
    UnixSockets,
    /// Raw sockets, with which the judge writes UDP headers itself.
    RawSockets,
    /// Names of Unix sockets outside the file system (unix(7), abstract sockets).
    AbstractNames,
    /// Every address of 127.0.0.0/8 belongs to this host.
    LoopbackNetwork,
    /// Two UDP sockets with the same port on different addresses.
    PortOfTwoAddresses,
    /// A system that closes the sockets of a killed process within a second or two.
    PromptCleanUp,
    /// A system that serves sockets next to CPU work, as soon as a core is free for a moment.
    SocketsBesideWork,
    /// Starting a server under a filter that denies io_uring.
    DeniedCalls,
    /// Starting a server under a limit on locked memory that the kernel enforces for it.
    LockedMemoryLimit,
    /// Making the kernel refuse new threads to a running server.
    ThreadLimit,
}

/// What a case found when the requirement was met, or when it could not ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// What was recorded. Servers that behave alike get the same words.
    pub recorded: Option<Outside>,
    /// What was seen of the server's driver, if the requirement is about the driver.
    pub attestation: Option<Attestation>,
    /// Why the case could not ask its question of this server on this host.
    pub reason_not_asked: Option<Outside>,
}

impl Case {
    /// A row for a MUST. [`Case::wire`], [`Case::process`], [`Case::datagrams`] or
    /// [`Case::lifecycle`] completes it.
    #[must_use]
    pub const fn must(name: &'static str, requirement: &'static str) -> Self {
        Self::with_level(Level::Must, name, requirement)
    }

    #[must_use]
    pub const fn should(name: &'static str, requirement: &'static str) -> Self {
        Self::with_level(Level::Should, name, requirement)
    }

    /// A row for behaviour that is only recorded.
    #[must_use]
    pub const fn info(name: &'static str, requirement: &'static str) -> Self {
        Self::with_level(Level::Info, name, requirement)
    }

    const fn with_level(level: Level, name: &'static str, requirement: &'static str) -> Self {
        Self {
            name,
            level,
            level_below_contract: level,
            question: None,
            answering_failures: &[],
            features: &[],
            requirement,
            sizes: Sizes::new(0, 0, 0),
            reports_reach: false,
            smallest_profile: Profile::Quick,
            needs: &[],
            capability: None,
            transport: Transport::Tcp,
            is_tcp_only: false,
            sharing: Sharing::Shared,
            is_timed: false,
            passes_on_busy_host: false,
            lowest_grade: Grade::Contract,
            address_condition: AddressCondition::AnyPlace,
            body: Body::Wire(no_body),
        }
    }

    /// Sets the level for servers below grade contract, which have not promised the behaviour.
    #[must_use]
    pub const fn level_below_contract(mut self, level: Level) -> Self {
        self.level_below_contract = level;
        self
    }

    /// Sets the question, if it is not the suite's.
    #[must_use]
    pub const fn answers(mut self, question: Question) -> Self {
        self.question = Some(question);
        self
    }

    /// Sets the kinds of failure that answer the question. After any other kind of failure the
    /// question counts as not asked.
    #[must_use]
    pub const fn answering_failures(mut self, kinds: &'static [FailureKind]) -> Self {
        self.answering_failures = kinds;
        self
    }

    /// Sets the features that the case relies on. A server that is declared to lack one does not
    /// get the case.
    #[must_use]
    pub const fn relies_on(mut self, features: &'static [Feature]) -> Self {
        self.features = features;
        self
    }

    /// Asks servers from this grade on, although the case starts them itself: it uses no option of
    /// the contract.
    #[must_use]
    pub const fn lowest_grade(mut self, grade: Grade) -> Self {
        self.lowest_grade = grade;
        self
    }

    /// Sets how much the case does in each profile.
    #[must_use]
    pub const fn sizes(mut self, quick: u64, default: u64, full: u64) -> Self {
        self.sizes = Sizes::new(quick, default, full);
        self
    }

    /// Says that the case cannot rule out a fault that begins above its size. The certificate says
    /// how far the case went.
    #[must_use]
    pub const fn reports_reach(mut self) -> Self {
        self.reports_reach = true;
        self
    }

    /// Runs the case only in profile `full`, because it takes too long for daily use. The self-test
    /// uses the smaller sizes.
    #[must_use]
    pub const fn full_profile_only(mut self) -> Self {
        self.smallest_profile = Profile::Full;
        self
    }

    #[must_use]
    pub const fn needs(mut self, needs: &'static [Need]) -> Self {
        self.needs = needs;
        self
    }

    /// Asks only servers that offer this optional part of the contract. Such a case must be a
    /// [`Case::lifecycle`], because it starts its servers with the options of that part.
    #[must_use]
    pub const fn with_capability(mut self, capability: &'static str) -> Self {
        self.capability = Some(capability);
        self
    }

    /// Sets the client's transport. Unless the case is a [`Case::lifecycle`], the judge starts the
    /// server with such a listener next to a TCP port.
    #[must_use]
    pub const fn with_transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Says that the case is about TCP itself or about IP addresses. A server on a Unix path does
    /// not get it.
    #[must_use]
    pub const fn tcp_only(mut self) -> Self {
        self.is_tcp_only = true;
        self
    }

    /// Asks only servers that were given an address, not only a port.
    #[must_use]
    pub const fn requires_given_address(mut self) -> Self {
        self.address_condition = AddressCondition::GivenAddress;
        self
    }

    /// For a case that judges latency: it runs alone, and it counts only on a quiet host.
    #[must_use]
    pub const fn exclusive_timed(mut self) -> Self {
        self.is_timed = true;
        self.exclusive_untimed()
    }

    /// For a timed case that a busy host can only make harder to pass. Its load must be the same
    /// however fast the judge is, and it must have no wait that has to be long enough. Then a pass
    /// by an uncorrected clock counts.
    #[must_use]
    pub const fn passes_on_busy_host(mut self) -> Self {
        self.passes_on_busy_host = true;
        self
    }

    /// For a case that judges shares, or only whether answers come: it runs alone, and it also
    /// counts on a busy host.
    #[must_use]
    pub const fn exclusive_untimed(mut self) -> Self {
        self.sharing = Sharing::Exclusive;
        self
    }

    #[must_use]
    pub const fn wire(mut self, function: fn(&Peer) -> CaseResult) -> Self {
        self.body = Body::Wire(function);
        self
    }

    #[must_use]
    pub const fn process(mut self, function: fn(&Peer, &Process) -> CaseResult) -> Self {
        self.body = Body::Process(function);
        self
    }

    #[must_use]
    pub const fn datagrams(mut self, function: fn(&Datagrams) -> CaseResult) -> Self {
        self.body = Body::Datagrams(function);
        self
    }

    #[must_use]
    pub const fn lifecycle(mut self, function: fn(&Lifecycle) -> CaseResult) -> Self {
        self.body = Body::Lifecycle(function);
        self
    }
}

impl Case {
    /// What the server may refuse: a capability or a kind of listener.
    #[must_use]
    pub fn optional_part(&self) -> Option<&'static str> {
        let kind = (self.transport != Transport::Tcp).then(|| self.transport.kind());
        self.capability.or(kind)
    }

    /// The transport of the client for this row. Below grade contract, a server of Unix streams has
    /// no TCP listener, so it gets the TCP cases over its path.
    #[must_use]
    pub fn transport_at(&self, row: &Row) -> Transport {
        let is_of_streams = self.transport == Transport::Tcp && !self.is_tcp_only;
        let has_streams = row.grade() != Grade::Contract && row.transport() == Transport::Unix;
        if is_of_streams && has_streams { Transport::Unix } else { self.transport }
    }

    /// Whether this row gets the case in this profile.
    #[must_use]
    pub fn is_asked(&self, row: &Row, profile: Profile) -> bool {
        let least = match self.body {
            Body::Wire(_) | Body::Datagrams(_) => Grade::Address,
            Body::Process(_) => Grade::Command,
            Body::Lifecycle(_) => self.lowest_grade,
        };
        // Only the contract has an option for a second listener.
        let is_heard = row.grade() == Grade::Contract || row.transport() == self.transport_at(row);
        let is_told =
            self.address_condition == AddressCondition::AnyPlace || row.is_given_address();
        is_heard && is_told && row.grade() >= least && profile >= self.smallest_profile
    }

    #[must_use]
    pub fn level_at(&self, grade: Grade) -> Level {
        match grade {
            Grade::Contract => self.level,
            Grade::Address | Grade::Command => self.level_below_contract,
        }
    }
}

impl Suite {
    #[must_use]
    pub fn question_of(&self, case: &Case) -> Question {
        case.question.unwrap_or(self.question)
    }
}

impl Feature {
    pub const ALL: [Self; 2] = [Self::HalfClose, Self::SilentClients];

    /// The value of `--without`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::HalfClose => "half-close",
            Self::SilentClients => "silent-clients",
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Descriptors(count) => {
                let count = group_digits(*count);
                return write!(f, "{count} more open descriptors, in the server and in the judge");
            }
            Self::AcceptQueue(clients) => {
                let clients = group_digits(u64::from(*clients));
                return write!(f, "an accept queue for {clients} clients (somaxconn)");
            }
            Self::ClientPorts(count) => {
                return write!(f, "{} ports for clients", group_digits(u64::from(*count)));
            }
            Self::UdpBytes(bytes) => {
                return write!(f, "UDP datagrams of {} bytes", group_digits(u64::from(*bytes)));
            }
            Self::UnixgramBytes(bytes) => {
                return write!(f, "Unix datagrams of {} bytes", group_digits(u64::from(*bytes)));
            }
            Self::QueueAtLimit => {
                "a kernel that keeps a client for which accept finds no descriptor (not macOS)"
            }
            Self::DescriptorLimit => "a descriptor limit for the server (not on Windows)",
            Self::DescriptorCount => "the number of the server's descriptors (Linux, macOS)",
            Self::CpuTime => "the server's CPU time (Linux, macOS)",
            Self::ResidentMemory => "the server's resident memory (Linux, macOS)",
            Self::Threads => "the server's threads (Linux, macOS)",
            Self::EndedChildren => {
                "which of the server's children have ended unwaited for (Linux only)"
            }
            Self::ContextSwitches => "the server's context switches (Linux, macOS)",
            Self::KernelThreads => {
                "which of the server's threads the kernel put there (Linux only)"
            }
            Self::IoWait => "who waits for I/O by the kernel's account (Linux only)",
            Self::KernelLog => "the kernel's log, readable (Linux only)",
            Self::Signals => "signals to the server (not on Windows)",
            Self::SocketQueues => "what waits in the server's sockets (Linux only)",
            Self::Attestation => "what the server's process holds (Linux only)",
            Self::PortOfTwoAddresses => "one UDP port at two addresses (not under wine)",
            Self::LoopbackNetwork => "all of 127.0.0.0/8 (Linux and Windows)",
            Self::UrgentData => "TCP urgent data (not on Windows)",
            Self::Ipv6 => "IPv6 on the loopback interface",
            Self::UnixSockets => "Unix sockets (not on Windows)",
            Self::RawSockets => "raw sockets (Linux and macOS, for root)",
            Self::AbstractNames => "abstract names of Unix sockets (Linux only)",
            Self::DeniedCalls => "a filter of the server's system calls (Linux only)",
            Self::LockedMemoryLimit => "a limit on the server's locked memory (Linux only)",
            Self::ThreadLimit => "a limit on the server's threads that holds (Linux only)",
            Self::SocketsBesideWork => "sockets that are served beside CPU work (not under wine)",
            Self::PromptCleanUp => {
                "the sockets of a killed process closed at once (not under wine)"
            }
        })
    }
}

impl Observation {
    /// The requirement is met and there is nothing to add.
    ///
    /// # Errors
    /// Never. The type is `CaseResult` so that a case can end with this call.
    pub fn met() -> CaseResult {
        Ok(Self::default())
    }

    /// The requirement is met, and `recorded` can be compared between rows.
    ///
    /// # Errors
    /// Never; see [`Observation::met`].
    pub fn recorded(recorded: impl Into<Outside>) -> CaseResult {
        Ok(Self { recorded: Some(recorded.into()), ..Self::default() })
    }

    /// The requirement is about the driver, and this was seen of it. If the driver could not be
    /// seen, the cell is unavailable.
    ///
    /// # Errors
    /// Never; see [`Observation::met`].
    pub fn attested(attestation: Attestation) -> CaseResult {
        Ok(Self { attestation: Some(attestation), ..Self::default() })
    }

    /// The case could not ask its question of this server on this host. The requirement is neither
    /// met nor broken.
    ///
    /// # Errors
    /// Never; see [`Observation::met`].
    pub fn reason_not_asked(why: impl Into<Outside>) -> CaseResult {
        Ok(Self { reason_not_asked: Some(why.into()), ..Self::default() })
    }
}

fn no_body(_: &Peer) -> CaseResult {
    Err(Failure::new(FailureKind::Output, "a case with a function", "a table row without one"))
}
