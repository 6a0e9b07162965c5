//! The names of the faults, each with the one sentence that says what it does wrong.

use clap::ValueEnum;

/// What a mutant does wrong, or, with `odd` in front, does right in a strange way. Some strike only
/// now and then: spoiling every connection would leave too few cases green beside their own.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Fault {
    // The bytes, and those of other connections.
    /// Echoes only the first 1024 bytes of each 300th full read (settable) of a lone connection
    #[value(name = "first-1024-bytes")]
    First1024Bytes,
    /// Loses the 100th read (settable) of fewer than 4 bytes of a connection
    LosesTinyRead,
    /// Turns CR LF before an empty line into LF in a read of at most 1024 bytes
    TranslatesCrlf,
    /// Closes a connection that says QUIT
    ObeysQuit,
    /// Strips a byte order mark at the beginning of a connection
    StripsMark,
    /// Flips a bit of a byte that comes alone
    FlipsLoneByte,
    /// Ends a connection after 500 reads (settable) of fewer than 8 bytes
    EndsAfterMessages,
    /// Swaps the halves of each 300th full read (settable) of a lone connection
    SwapsChunks,
    /// Pads a read of fewer than 64 bytes with what an earlier full read has left in the buffer
    WritesStaleTail,
    /// Loses each 100th read (settable) of 6 to 256 bytes of a connection
    LosesSmallMessage,
    /// Flips one bit each 8 MiB (settable) of a lone connection
    FlipsBit,
    /// Loses the read in which a lone connection's bytes pass a multiple of 4 MiB (settable)
    LosesReadAtWrap,
    /// Loses the read in which a lone connection's bytes pass a multiple of 4 GiB (settable)
    #[value(name = "wraps-at-4-gib")]
    WrapsAt4Gib,
    /// Loses the last byte of a large read that comes right after one of at most 8 bytes
    LosesByteAfterTiny,
    /// Sends one more byte 100 ms after the echo of the first, if nothing else has come
    LateExtraByte,
    /// Holds a message of 8 to 15 bytes back until a newline or more bytes, and drops it at FIN
    LineBuffered,
    /// Waits 40 ms for more before it writes less than a buffer
    #[value(name = "collects-40-ms")]
    Collects40Ms,
    /// Leaves Nagle's algorithm on, which waits for the client's acknowledgement
    Nagle,
    /// Leaves Nagle's algorithm on for those that it accepts within 5 ms of another
    NagleOnLater,
    /// Drops what came before `accept`, on each 25th connection (settable) beside at most one other
    DropsDataWithConnect,
    /// Greets a client that has been silent for 200 ms
    Greets,
    /// Ends the process at a byte of urgent data (Linux only)
    DiesOfUrgentByte,
    /// Leaves full reads in one buffer that all connections share until their next turn
    SharedBuffer,
    /// Beside 9000 open connections (settable), flips a bit of what comes on the next ones
    #[value(name = "flips-beyond-9000")]
    FlipsBeyond9000,
    /// Beyond 64 open connections, exchanges each 50th full read (settable) with another one's
    #[value(name = "crosses-beyond-64")]
    CrossesBeyond64,
    /// Loses 16 bytes of another connection's read after each 20th reset (settable)
    ResetsHarmNeighbours,
    /// After 100 connections have ended (settable), flips a bit in the next large read
    CorruptsAfterChurn,
    /// After 30 resets (settable), writes a reset connection's last bytes to its successor
    RemembersSlot,
    /// Leaves unwritten bytes of a dead connection in its slot, for the next owner
    KeepsSlotBytes,
    /// Exchanges the reads of connections that come from the same port of different addresses
    ConfusesPorts,
    /// Closes a connection 5 ms after its start if it comes from the address of one that has ended
    CleansUpSuccessor,
    // Backpressure.
    /// Calls write once and forgets what it did not take
    IgnoresShortWrite,
    /// Reads into the buffer while it is being written
    ReadsWhileWriting,
    /// After a short write, writes the whole buffer again
    RestartsShortWrite,
    /// Forgets to wait for room once a write has blocked
    ForgetsWriteInterest,
    /// Goes on after a write that was blocked for 20 ms or more only three times (settable)
    StallsAfterResumes,
    /// Resumes a blocked write only once no input waits, and reads none while it is blocked
    DeadlocksOnDuplex,
    /// Tries a blocked write again and again
    RetriesWriteAtOnce,
    /// Stays awake while a write is blocked and input waits
    SpinsOnUnread,
    /// Blocks the whole loop up to 500 ms in each pass to write to a client that does not read
    BlockingWrite,
    /// Reads without limit while its write is blocked
    UnboundedQueue,
    /// Reads without limit once a write that was blocked for 20 ms has gone on
    UnboundedOnceResumed,
    /// Resets a connection whose write has been blocked for 500 ms
    GivesUpBlocked,
    /// Has 64 buffers (settable) for connections with a lot to echo, and never serves the others
    #[value(name = "pool-of-64")]
    PoolOf64,
    /// Accepts no more while 16 connections (settable) are blocked
    DeafWhileBlocked,
    /// Deals connections to 100 workers (settable), and leaves those of a blocked one waiting
    BlocksWorkers,
    // The end of a connection.
    /// Writes the last chunk once more at FIN, after 48 to 64 KiB
    RepeatsLastChunk,
    /// Closes as soon as FIN is known, though bytes wait behind a write that blocked
    ClosesUnflushed,
    /// Drops data that comes together with FIN
    DropsDataWithFin,
    /// Never sends FIN to a client that has sent nothing
    NeverSendsFin,
    /// Overlooks FIN after half a second of silence
    MissesLateFin,
    /// Overlooks FIN when more than 16 (settable) come within 100 ms
    ForgetsFinInBatch,
    /// Closes with a reset when FIN comes on its own after 20 to 64 KiB
    ResetsAfterFin,
    /// Leaks the descriptor of a connection that ends without having sent a byte
    LeaksIdleOnFin,
    /// Leaks the descriptor of a connection that fails after 4 KiB or more
    LeaksAfterBrokenEcho,
    /// Leaks the descriptor of an idle connection that is reset
    LeaksOnIdleReset,
    /// Leaks the descriptor of a connection that is reset while its write is blocked
    LeaksOnBlockedReset,
    /// Ends the process when a write fails
    DiesOfFailedWrite,
    /// Panics when sending FIN fails
    UnwrapsShutdown,
    /// Panics at the 40th connection in a row (settable) that ends at once and without a byte
    DiesInCloseStorm,
    /// Panics when 400 connections (settable) have ended
    DiesAfterCloses,
    /// Leaks the descriptor of a connection that is reset when FIN has met it in a blocked write
    LeaksOnBlockedFin,
    /// Leaks 64 KiB of memory for each connection that is reset while its write is blocked
    #[value(name = "leaks-64-kib-when-blocked")]
    Leaks64KibWhenBlocked,
    /// Answers FIN 6 s late after 1 MiB or more
    LateFinAfterStream,
    /// Looks for an error first, and reads nothing from a connection that has one
    ChecksErrorFirst,
    // Accepting.
    /// Panics when a new connection has no peer any more, half a millisecond after `accept`
    UnwrapsPeerAddress,
    /// Ends the process when `accept` fails
    AcceptErrorEndsProcess,
    /// Tries `accept` again at once when it fails
    RetriesAcceptAtOnce,
    /// After `accept` has failed, waits for a new client before it tries again
    ParksListener,
    /// The same when `accept` begins to fail for the third time (settable)
    ParksThirdTime,
    /// When `accept` fails, closes the clients that wait
    TurnsAwayAtLimit,
    /// Sleeps 1.2 s in the loop when `accept` fails
    SleepsAtAcceptError,
    /// Waits for a connection's first byte before it accepts the next
    WaitsForFirstByte,
    /// Has a table of 1000 connections (settable), and panics beyond
    #[value(name = "table-of-1000")]
    TableOf1000,
    /// Forgets connections when more than 256 (settable) come within a second
    ForgetsInBurst,
    /// Accepts nothing more after 2 s without an event
    DeafAfterQuiet,
    /// Accepts only when no connection has sent a full buffer for 100 ms
    AcceptsOnlyWhenCool,
    /// Resets what waited in a long accept queue
    ResetsQueued,
    /// Does not serve connections beyond the 900th (settable) that is open
    #[value(name = "ignores-beyond-900")]
    IgnoresBeyond900,
    // Fairness.
    /// Serves others 1.05 s late while a connection sends full buffers
    StarvesBesideHot,
    /// Serves three connections at a time that send full buffers, and nobody else
    FeedsThree,
    /// Gives the oldest connection that sends full buffers far more turns than the others
    FavoursFirst,
    /// Sleeps 3 ms after each `accept` beside 8 to 64 open connections
    SlowToAccept,
    /// Sleeps 2 ms at each step beside 400 to 600 open connections
    SlowBesideMany,
    // Capabilities.
    /// Does the work of a message in the loop
    WorksInLoop,
    /// Has room for two jobs (settable) in a second, and forgets the others
    ForgetsJobs,
    /// Forgets a client that comes when half of the time to cancel `accept` is over
    LosesLateAccept,
    /// Loses a read of fewer than 16 bytes when half of the time to cancel it is over
    LosesLateRead,
    // Idling.
    /// Closes a connection that has been silent for one second
    ClosesSilent,
    /// Polls without a pause while no connection is open
    PollsWhenIdle,
    /// Looks at all connections each millisecond while more than 256 (settable) are open
    ScansConnections,
    /// Reads again and again when FIN comes after 100 ms of silence
    ReadsOnAtFin,
    /// Wakes up each millisecond
    WakesEachMs,
    /// Announces io_uring, and has an idle thread that waits in a ring (Linux only)
    WaitsInRing,
    /// Announces io_uring, and has a ring that a thread of the kernel polls (Linux only)
    PolledRing,
    // Resources.
    /// Leaks the descriptor of each 20th connection (settable) that ends in order
    LeaksAfterFin,
    /// Leaks the descriptor of each 20th connection (settable) that fails
    LeaksAfterReset,
    /// Leaks the descriptor of each 10th connection (settable) that ends at once and without a byte
    LeaksAbortedAccept,
    /// Has a child process that opens a file for each 20th connection (settable) that ends in order
    ChildLeaksDescriptors,
    /// Has a child process that leaks 64 KiB of memory for each connection that fails
    ChildLeaksMemory,
    /// Has a child process that computes without end once a connection has ended
    ChildSpins,
    /// Leaks 4 KiB of memory for each connection that ends
    #[value(name = "leaks-4-kib")]
    Leaks4Kib,
    /// Leaks 64 KiB of memory for each connection that fails
    #[value(name = "leaks-64-kib-on-reset")]
    Leaks64KibOnReset,
    /// Keeps all that has gone through a connection until that ends
    KeepsHistory,
    /// Keeps 64 KiB of memory for each open connection
    #[value(name = "keeps-64-kib")]
    Keeps64Kib,
    /// Starts a thread for each connection
    ThreadPerConnection,
    /// Computes for some 200 us at each full read
    WastesCpu,
    /// At its 150th connection (settable), asks the kernel what it complains of (Linux only)
    UpsetsKernel,
    // Stopping.
    /// Resets every connection and exits at the first signal
    ExitsAtOnce,
    /// Resets the clients at a stop that have come within the last second
    ResetsYoungAtStop,
    /// Notices a stop only after the next `accept`
    WaitsForAccept,
    /// Ignores SIGINT
    IgnoresSigint,
    /// Ignores a second signal
    IgnoresSecondSignal,
    /// Ignores the end of standard input
    IgnoresStdinEof,
    /// Waits without limit for open connections to end by themselves
    WaitsForIdle,
    /// Writes old bytes to each connection at a stop
    GarbageAtStop,
    /// Aborts when more than 10 connections are open at a stop
    AbortsUnderLoad,
    /// Goes on accepting and serving while it drains
    KeepsAccepting,
    /// Exits with status 3 after an orderly stop
    #[value(name = "exits-3")]
    Exits3,
    // Starting.
    /// Announces itself 50 ms before it listens
    AnnouncesBeforeListening,
    /// Announces the port that was asked for, which is 0
    AnnouncesPortZero,
    /// Exits with status 0 when it cannot listen
    ExitsZeroOnBindFailure,
    /// Lets a second server listen on the same port
    ReusePort,
    /// Does not set the option that allows a port with old connections to be used again
    NoReuseAddress,
    /// Leaves a lock file behind unless it is stopped in order, and refuses to start beside one
    LockFile,
    /// Serves on some port when it does not understand its arguments
    IgnoresBadArguments,
    /// Exits with status 1 when it does not offer what was asked
    #[value(name = "unsupported-exits-1")]
    UnsupportedExits1,
    /// Exits with status 69 and gives no reason on standard output
    UnsupportedWithoutReason,
    /// Announces io_uring and uses another driver
    SaysIoUring,
    /// Announces io_uring and holds a ring that it does not use (Linux only)
    UnusedRing,
    /// Writes a line to standard output for each connection
    LogsOnStdout,
    /// Panics at its start when system calls are filtered (Linux only)
    DiesOfFilter,
    /// Panics at its start when less than 1 MiB of memory may be locked (Linux only)
    DiesOfMemlock,
    /// Panics at its start when there is no IPv6
    NeedsIpv6,
    /// Panics when nobody reads what it writes about a failed `accept`
    PanicsUnheard,
    /// Panics when it cannot start
    PanicsAtFailedStart,
    /// Ends when a system call is interrupted
    DiesOfEintr,
    /// Loses what it reads first after 300 ms in which it did nothing beside four connections
    LosesAfterGap,
    /// Refuses to start for the third time on the same port
    RefusesThirdStart,
    // Other sockets than those of TCP over IPv4.
    /// Sends each reply to a datagram twice
    DoublesReply,
    /// Makes one of the datagrams that come from a client within 5 ms
    MergesDatagrams,
    /// Takes an empty datagram for the end of its socket
    EndsAtEmpty,
    /// Does not echo empty datagrams
    DropsEmpty,
    /// Has 2048 bytes of room for a datagram
    ShortBuffer,
    /// Panics at a datagram that is longer than any of UDP over IPv4
    DiesOfLong,
    /// Receives nothing more after an error, which the 16th client (settable) is taken for
    EndsAtError,
    /// Replies to whomever it has heard last within 5 ms
    RepliesToLast,
    /// Receives nothing more after 400 datagrams (settable) within a second
    DeafAfterBurst,
    /// Does nothing for 300 ms when a datagram of 8 KiB or more comes
    StallsOnLargeReply,
    /// Does not answer datagrams over IPv6
    ForgetsIpv6Datagrams,
    /// Does not answer datagrams of IPv4 clients on a socket for both families
    ForgetsMappedClients,
    /// Looks at a stop only when it has no socket for datagrams
    KeepsDatagramsAtStop,
    /// Does nothing else while datagrams come less than 50 ms apart
    DrainsDatagramsFirst,
    /// Panics at a datagram of a client without a path
    DiesOfUnnamed,
    /// Receives nothing more when a reply could not be sent
    EndsAtSendError,
    /// Waits until a client has room for its reply
    WaitsForFullPeer,
    /// Spoils a byte beyond the first 100,000 of a Unix connection
    SpoilsUnix,
    /// Spoils a byte beyond the first 100,000 of a connection over IPv6
    SpoilsIpv6,
    /// Removes whatever is at its Unix path
    UnlinksPath,
    /// Does not start where its Unix path is left from a dead server
    RefusesExistingPath,
    /// Leaves its Unix path behind
    LeavesPath,
    /// Removes its Unix path as it ends, although another server has taken it over
    UnlinksSuccessor,
    /// Panics at a Unix path that is too long
    PanicsOnLongPath,
    /// Does not start at a name that is in no file system
    NoAbstractNames,
    /// Takes IPv6 clients alone on `[::]`, whatever it was asked
    IgnoresDualStack,
    /// Takes clients of both families on `[::]`, whatever it was asked
    TakesBothFamilies,
    // Misbehaviour that no suite judges: it tests the harness.
    /// Never announces itself
    NeverAnnounces,
    /// Writes something else instead of an announcement
    PrintsGarbage,
    /// Exits with status 3 before it announces itself
    DiesEarly,
    /// Announces itself and does nothing more, not even stop
    Hangs,
    /// Writes 64 MiB to standard error and serves meanwhile
    FloodsStderr,
    /// Writes to every client without end what nobody asked for
    FloodsClients,
    /// Echoes one byte a second
    Drips,
    /// Closes its standard output and standard error once it has announced itself (not on Windows)
    ClosesStreams,
    /// Starts a process in another group with its streams, for a day (settable; Linux only)
    LeavesChild,
    /// Offers no capability, and no socket but those of TCP
    LacksCapabilities,
    // Correct, but unusual.
    /// Reads and writes one byte at a time, and 64 after the first KiB of a connection
    OddOneByte,
    /// Waits 5 ms before each write
    OddDelay,
    /// Has socket buffers of 4 KiB
    OddSmallBuffers,
    /// Has a buffer of 256 KiB
    OddLargeBuffer,
    /// Answers FIN 200 ms late
    OddLateClose,
    /// Reads 1 to 64 KiB at random
    OddRandomReads,
}
