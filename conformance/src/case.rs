//! A case: a plain function over what it is given, and its row in its suite's table.

use std::fmt;

use harness::process::Process;
use harness::row::Row;
use harness::schedule::Company;
use report::Outside;
use report::host::grouped;
use report::{Attestation, Failure, FailureKind, Grade, Level, Question, Transport};

use crate::client::datagrams::Datagrams;
use crate::client::peer::Peer;
use crate::lifecycle::Lifecycle;
use crate::profile::{Profile, Sizes};

/// What a case returns.
pub type CaseResult = Result<Observation, Failure>;

/// A suite: a table of cases, at the top of the suite's file.
#[derive(Debug)]
pub struct Suite {
    /// The first half of a case's id.
    pub name: &'static str,
    /// One sentence on what the suite is about.
    pub about: &'static str,
    /// What its cases answer, unless one says otherwise.
    pub question: Question,
    /// The table.
    pub cases: &'static [Case],
}

/// One row of a suite's table.
#[derive(Debug)]
pub struct Case {
    /// The second half of the id.
    pub name: &'static str,
    /// How binding the requirement is for a server that speaks docs/CONTRACT.md.
    pub level: Level,
    /// How binding it is for any other: what only the contract asks for is a SHOULD there.
    pub level_below_contract: Level,
    /// What it answers, where that is not the suite's question.
    pub question: Option<Question>,
    /// The failures that answer it; empty where any does. Another one kept the case from asking.
    pub judges: &'static [FailureKind],
    /// What a server can be declared not to do, which makes the case pointless.
    pub features: &'static [Feature],
    /// What a server has to do, as one sentence.
    pub requirement: &'static str,
    /// How much is done, per profile; the unit is the case's own (bytes, rounds, connections).
    pub sizes: Sizes,
    /// Whether a fault may begin beyond what is done, so that a certificate says how far that was.
    pub says_how_far: bool,
    /// The smallest profile that asks for it.
    pub from: Profile,
    /// What the host must have.
    pub needs: &'static [Need],
    /// The capability that the server must offer, where the requirement is about one.
    pub capability: Option<&'static str>,
    /// What the client uses; a server that does not offer it says so.
    pub transport: Transport,
    /// Whether it means nothing over a Unix path, because it is about TCP itself or its addresses.
    pub is_of_tcp: bool,
    /// Whether other cells may run beside it.
    pub company: Company,
    /// Whether it judges times that count only on a quiet host.
    pub is_timed: bool,
    /// The grade that a server must have, where its function alone would ask for more.
    pub from_grade: Grade,
    /// What the server was told of where to listen.
    pub told: Told,
    /// The function.
    pub body: Body,
}

/// What an echo server may by design not do. One below grade contract can be declared to do without
/// (`--without`), and its certificate says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Echoing what came before the client's FIN, after it (RFC 9293, section 3.6).
    HalfClose,
    /// Keeping connections on which nothing is sent.
    SilentClients,
}

/// What a server must have been told of where to listen, for a case to be asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A port at least, or nothing: it listens already.
    AnyPlace,
    /// An address.
    Address,
}

/// A case's function; its type says what it needs.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// Only an address: runs against any server that listens.
    Wire(fn(&Peer) -> CaseResult),
    /// Also the server's process: descriptors, CPU time, memory, signals.
    Process(fn(&Peer, &Process) -> CaseResult),
    /// Only a socket for datagrams.
    Datagrams(fn(&Datagrams) -> CaseResult),
    /// Starts and stops servers itself.
    Lifecycle(fn(&Lifecycle) -> CaseResult),
}

/// What a case needs of the host. A host that lacks it makes the cell unavailable, with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// This many open descriptors in the judge, and as many in the server.
    Descriptors(u64),
    /// A kernel that lets this many clients wait for `accept`.
    AcceptQueue(u32),
    /// A kernel that leaves a client in the queue when its accept finds no descriptor.
    QueueAtLimit,
    /// This many ports for clients, in use at once or in TIME_WAIT.
    ClientPorts(u32),
    /// UDP datagrams of this many bytes, through sockets as they are by default.
    UdpBytes(u32),
    /// Unix datagrams of this many bytes, through sockets as they are by default.
    UnixgramBytes(u32),
    /// Starting a server under a lower descriptor limit.
    DescriptorLimit,
    /// Counting another process's open descriptors.
    DescriptorCount,
    /// Another process's CPU time.
    CpuTime,
    /// Another process's resident memory.
    ResidentMemory,
    /// Another process's threads: their number, and whether they run.
    Threads,
    /// Which children of another process have ended and are not waited for.
    EndedChildren,
    /// How often another process's threads give a processor away.
    ContextSwitches,
    /// Which of another process's threads the kernel has put there.
    KernelThreads,
    /// Who waits for I/O, by the kernel's accounting.
    IoWait,
    /// What the kernel has logged.
    KernelLog,
    /// Signals to another process (`SIGTERM`, `SIGSTOP`).
    Signals,
    /// Seeing another process's sockets: bytes that wait in its receive queues.
    SocketQueues,
    /// Seeing which I/O driver another process holds.
    Attestation,
    /// TCP urgent data.
    UrgentData,
    /// IPv6, on the loopback interface at least.
    Ipv6,
    /// Unix sockets, and a path for them.
    UnixSockets,
    /// Sockets whose sender writes the header of UDP.
    RawSockets,
    /// Names of Unix sockets that are in no file system.
    AbstractNames,
    /// All of 127.0.0.0/8 as this host's own.
    LoopbackNetwork,
    /// UDP sockets with one port at two addresses.
    PortOfTwoAddresses,
    /// The sockets of a killed process closed within a second or two.
    PromptCleanUp,
    /// Sockets that are served as long as one core is free for a moment.
    SocketsBesideWork,
    /// Starting a server to which io_uring is denied.
    DeniedCalls,
    /// Starting a server under a limit on locked memory that holds for it.
    LockedMemoryLimit,
    /// Having the kernel refuse threads to a server while it runs.
    ThreadLimit,
}

/// What a case found when its requirement was met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// What was recorded, in words that are equal for servers that behave alike.
    pub recorded: Option<Outside>,
    /// What was seen of the server's driver, where the requirement is about that.
    pub attestation: Option<Attestation>,
    /// Why the case could not ask its question of this server on this host, if it could not.
    pub unasked: Option<Outside>,
}

impl Case {
    /// A row for a MUST; [`Case::wire`], [`Case::process`] or [`Case::lifecycle`] completes it.
    #[must_use]
    pub const fn must(name: &'static str, requirement: &'static str) -> Self {
        Self::at(Level::Must, name, requirement)
    }

    /// A row for a SHOULD.
    #[must_use]
    pub const fn should(name: &'static str, requirement: &'static str) -> Self {
        Self::at(Level::Should, name, requirement)
    }

    /// A row for something that is only recorded.
    #[must_use]
    pub const fn info(name: &'static str, requirement: &'static str) -> Self {
        Self::at(Level::Info, name, requirement)
    }

    const fn at(level: Level, name: &'static str, requirement: &'static str) -> Self {
        Self {
            name,
            level,
            level_below_contract: level,
            question: None,
            judges: &[],
            features: &[],
            requirement,
            sizes: Sizes::new(0, 0, 0),
            says_how_far: false,
            from: Profile::Quick,
            needs: &[],
            capability: None,
            transport: Transport::Tcp,
            is_of_tcp: false,
            company: Company::Shared,
            is_timed: false,
            from_grade: Grade::Contract,
            told: Told::AnyPlace,
            body: Body::Wire(no_body),
        }
    }

    /// How binding it is for a server below grade contract, which has not promised it.
    #[must_use]
    pub const fn below_contract(mut self, level: Level) -> Self {
        self.level_below_contract = level;
        self
    }

    /// What it answers, where that is not the suite's question.
    #[must_use]
    pub const fn answers(mut self, question: Question) -> Self {
        self.question = Some(question);
        self
    }

    /// The failures that answer its own question. After any other it has not been asked.
    #[must_use]
    pub const fn judges(mut self, kinds: &'static [FailureKind]) -> Self {
        self.judges = kinds;
        self
    }

    /// What a server can be declared not to do, so that it does not get the case.
    #[must_use]
    pub const fn relies_on(mut self, features: &'static [Feature]) -> Self {
        self.features = features;
        self
    }

    /// Asked of servers from this grade on, although it starts them itself: it uses no option of
    /// the contract.
    #[must_use]
    pub const fn from_grade(mut self, grade: Grade) -> Self {
        self.from_grade = grade;
        self
    }

    /// How much is done in `quick`, `default` and `full`.
    #[must_use]
    pub const fn sizes(mut self, quick: u64, default: u64, full: u64) -> Self {
        self.sizes = Sizes::new(quick, default, full);
        self
    }

    /// It cannot rule out a fault that begins at a number above its size. The certificate says how
    /// far it went.
    #[must_use]
    pub const fn up_to_its_size(mut self) -> Self {
        self.says_how_far = true;
        self
    }

    /// Asked in profile `full` alone, because it takes too long for every day. The smaller sizes
    /// are those of the self-test.
    #[must_use]
    pub const fn only_in_full(mut self) -> Self {
        self.from = Profile::Full;
        self
    }

    /// What the host must have.
    #[must_use]
    pub const fn needs(mut self, needs: &'static [Need]) -> Self {
        self.needs = needs;
        self
    }

    /// Asked only of a server that offers this optional part of the contract. The case starts its
    /// servers with the options of that part, so it is one of [`Case::lifecycle`].
    #[must_use]
    pub const fn asks_for(mut self, capability: &'static str) -> Self {
        self.capability = Some(capability);
        self
    }

    /// The client uses this, and not TCP. Unless the case is one of [`Case::lifecycle`], its server
    /// listens there beside a TCP port.
    #[must_use]
    pub const fn over(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// It is about TCP itself, or about IP addresses: no server of a Unix path gets it.
    #[must_use]
    pub const fn of_tcp_alone(mut self) -> Self {
        self.is_of_tcp = true;
        self
    }

    /// Asked only of a server that was given an address, and not a port alone.
    #[must_use]
    pub const fn told_its_address(mut self) -> Self {
        self.told = Told::Address;
        self
    }

    /// Latency is judged: no other cell runs beside it, and it counts only on a quiet host.
    #[must_use]
    pub const fn alone(mut self) -> Self {
        self.is_timed = true;
        self.alone_on_any_host()
    }

    /// Shares are judged, or nothing but answers: no other cell runs beside it, and it counts on a
    /// busy host as well.
    #[must_use]
    pub const fn alone_on_any_host(mut self) -> Self {
        self.company = Company::Exclusive;
        self
    }

    /// A case that needs only an address.
    #[must_use]
    pub const fn wire(mut self, function: fn(&Peer) -> CaseResult) -> Self {
        self.body = Body::Wire(function);
        self
    }

    /// A case that also needs the server's process.
    #[must_use]
    pub const fn process(mut self, function: fn(&Peer, &Process) -> CaseResult) -> Self {
        self.body = Body::Process(function);
        self
    }

    /// A case that needs only a socket for datagrams.
    #[must_use]
    pub const fn datagrams(mut self, function: fn(&Datagrams) -> CaseResult) -> Self {
        self.body = Body::Datagrams(function);
        self
    }

    /// A case that starts and stops servers.
    #[must_use]
    pub const fn lifecycle(mut self, function: fn(&Lifecycle) -> CaseResult) -> Self {
        self.body = Body::Lifecycle(function);
        self
    }
}

impl Case {
    /// What a server may say that it does not offer: a capability, or a kind of listener.
    #[must_use]
    pub fn asked_for(&self) -> Option<&'static str> {
        let kind = (self.transport != Transport::Tcp).then(|| self.transport.kind());
        self.capability.or(kind)
    }

    /// What the client uses with the server of a row. A server of Unix streams below the contract
    /// has no listener of TCP beside them, and gets the cases of TCP over its path.
    #[must_use]
    pub fn transport_at(&self, row: &Row) -> Transport {
        let is_of_streams = self.transport == Transport::Tcp && !self.is_of_tcp;
        let has_streams = row.grade() != Grade::Contract && row.transport() == Transport::Unix;
        if is_of_streams && has_streams { Transport::Unix } else { self.transport }
    }

    /// Whether the server of a row gets the case in this profile.
    #[must_use]
    pub fn is_asked(&self, row: &Row, profile: Profile) -> bool {
        let least = match self.body {
            Body::Wire(_) | Body::Datagrams(_) => Grade::Address,
            Body::Process(_) => Grade::Command,
            Body::Lifecycle(_) => self.from_grade,
        };
        // Only the contract says how to ask for another socket beside the first.
        let is_heard = row.grade() == Grade::Contract || row.transport() == self.transport_at(row);
        let is_told = self.told == Told::AnyPlace || row.is_given_address();
        is_heard && is_told && row.grade() >= least && profile >= self.from
    }

    /// How binding the requirement is for a server of this grade.
    #[must_use]
    pub fn level_at(&self, grade: Grade) -> Level {
        match grade {
            Grade::Contract => self.level,
            Grade::Address | Grade::Command => self.level_below_contract,
        }
    }
}

impl Suite {
    /// What a case of it answers.
    #[must_use]
    pub fn question_of(&self, case: &Case) -> Question {
        case.question.unwrap_or(self.question)
    }
}

impl Feature {
    /// Every feature.
    pub const ALL: [Self; 2] = [Self::HalfClose, Self::SilentClients];

    /// The word of `--without`.
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
                let count = grouped(*count);
                return write!(f, "{count} more open descriptors, in the server and in the judge");
            }
            Self::AcceptQueue(clients) => {
                let clients = grouped(u64::from(*clients));
                return write!(f, "an accept queue for {clients} clients (somaxconn)");
            }
            Self::ClientPorts(count) => {
                return write!(f, "{} ports for clients", grouped(u64::from(*count)));
            }
            Self::UdpBytes(bytes) => {
                return write!(f, "UDP datagrams of {} bytes", grouped(u64::from(*bytes)));
            }
            Self::UnixgramBytes(bytes) => {
                return write!(f, "Unix datagrams of {} bytes", grouped(u64::from(*bytes)));
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
    /// None: the type is that of a case's last line.
    pub fn met() -> CaseResult {
        Ok(Self::default())
    }

    /// Something to compare between rows.
    ///
    /// # Errors
    /// None: the type is that of a case's last line.
    pub fn of(recorded: impl Into<Outside>) -> CaseResult {
        Ok(Self { recorded: Some(recorded.into()), ..Self::default() })
    }

    /// What was seen of the server's driver. Where it could not be seen, the requirement was not
    /// judged.
    ///
    /// # Errors
    /// None: the type is that of a case's last line.
    pub fn attested(attestation: Attestation) -> CaseResult {
        Ok(Self { attestation: Some(attestation), ..Self::default() })
    }

    /// The case could not ask its question of this server on this host. It is not met, and not a
    /// failure either.
    ///
    /// # Errors
    /// None: the type is that of a case's last line.
    pub fn not_asked(why: impl Into<Outside>) -> CaseResult {
        Ok(Self { unasked: Some(why.into()), ..Self::default() })
    }
}

fn no_body(_: &Peer) -> CaseResult {
    Err(Failure::new(FailureKind::Output, "a case with a function", "a table row without one"))
}
