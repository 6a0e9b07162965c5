//! Creates a real ring, as large as runtimes create, and uses all three system calls: a filter may
//! allow one and refuse the next.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use io_uring::{IoUring as Kernel, Parameters, Probe, opcode};
use report::Outside;
use report::host::{Availability, IoUring, Limits, group_digits};
use rustix::io::Errno;

use super::answer::{RingProbe, available};
use super::facts::Facts;
use super::refusal::{Refusal, UringCall};
use super::ring_trial;
use crate::ring_needs::{OPERATIONS, SETUP_FLAGS};

/// Kernels since about 6.14 charge rings to the user's locked memory, and give it back some time
/// after a close (axboe/liburing#1408). There is no event to wait for.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// The smallest ring. It tells "no rings at all" from "no memory for a ring of the usual size".
const SMALL_ENTRIES: u32 = 8;

pub(super) fn probe(facts: &Facts, limits: &Limits) -> RingProbe {
    match try_all_calls(limits) {
        Ok((ring, probe)) => describe_ring(&ring, &probe),
        Err(refusal) => {
            let state = refusal.explain(facts, limits);
            RingProbe {
                counters: Availability::Unavailable {
                    reason: "no ring could be set up".to_owned().into(),
                    fix: None,
                },
                state,
                offers: None,
            }
        }
    }
}

fn try_all_calls(limits: &Limits) -> Result<(Kernel, Probe), Refusal> {
    let ring = set_up(limits)?;
    // Nothing is queued. This only shows that the call is allowed.
    ring.submit().map_err(|error| refusal(UringCall::Enter, &error))?;
    let mut probe = Probe::new();
    match ring.submitter().register_probe(&mut probe) {
        // EINVAL: kernels before 5.6 have no probe.
        Err(error) if errno(&error) != Errno::INVAL => Err(refusal(UringCall::Register, &error)),
        Ok(()) | Err(_) => Ok((ring, probe)),
    }
}

fn set_up(limits: &Limits) -> Result<Kernel, Refusal> {
    let entries = IoUring::RING_ENTRIES;
    let second_try = |error: io::Error| {
        if errno(&error) == Errno::NOMEM && limits.rings() != Some(0) {
            thread::sleep(RETRY_DELAY);
            return Kernel::new(entries);
        }
        Err(error)
    };
    Kernel::new(entries).or_else(second_try).map_err(|error| {
        let errno = errno(&error);
        let small_fits = errno == Errno::NOMEM && Kernel::new(SMALL_ENTRIES).is_ok();
        Refusal { call: UringCall::Setup { small_fits }, errno }
    })
}

fn refusal(call: UringCall, error: &io::Error) -> Refusal {
    Refusal { call, errno: errno(error) }
}

/// The crate returns only errors that come from the kernel.
fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn describe_ring(ring: &Kernel, probe: &Probe) -> RingProbe {
    let features = features(ring.params());
    let setup_flags = ring_trial::setup_flags();
    let mut operations = listed_operations(probe);
    operations.extend(ring_trial::unlisted_operations());
    RingProbe {
        state: available(format!(
            "a ring of {} entries was set up and entered; {} of {} setup flags, {} of {} network \
             operations",
            group_digits(IoUring::RING_ENTRIES.into()),
            setup_flags.len(),
            SETUP_FLAGS.len(),
            operations.len(),
            OPERATIONS.len(),
        )),
        offers: Some(IoUring {
            features: features.into_iter().map(Outside::from).collect(),
            setup_flags: setup_flags.into_iter().map(Outside::from).collect(),
            operations: operations.into_iter().map(Outside::from).collect(),
        }),
        counters: counters(ring),
    }
}

/// The kernel's counters of a ring, which `attest` and measurements read from outside.
fn counters(ring: &Kernel) -> Availability {
    let path = format!("/proc/self/fdinfo/{}", ring.as_raw_fd());
    let reason = match fs::read_to_string(path) {
        Ok(text) if text.contains("CqTail:") => {
            return available("/proc/PID/fdinfo shows SqTail and CqTail of every ring");
        }
        Ok(_) => "/proc/PID/fdinfo does not show CqTail on this kernel".to_owned(),
        Err(error) => format!("/proc/PID/fdinfo cannot be read: {error}"),
    };
    Availability::Unavailable { reason: reason.into(), fix: None }
}

fn features(params: &Parameters) -> Vec<String> {
    [
        ("single_mmap", params.is_feature_single_mmap()),
        ("nodrop", params.is_feature_nodrop()),
        ("submit_stable", params.is_feature_submit_stable()),
        ("rw_cur_pos", params.is_feature_rw_cur_pos()),
        ("cur_personality", params.is_feature_cur_personality()),
        ("fast_poll", params.is_feature_fast_poll()),
        ("poll_32bits", params.is_feature_poll_32bits()),
        ("sqpoll_nonfixed", params.is_feature_sqpoll_nonfixed()),
        ("ext_arg", params.is_feature_ext_arg()),
        ("native_workers", params.is_feature_native_workers()),
        ("resource_tagging", params.is_feature_resource_tagging()),
        ("skip_cqe_on_success", params.is_feature_skip_cqe_on_success()),
        ("linked_file", params.is_feature_linked_file()),
        ("recvsend_bundle", params.is_feature_recvsend_bundle()),
        ("min_timeout", params.is_feature_min_timeout()),
        ("no_iowait", params.is_feature_no_iowait()),
    ]
    .into_iter()
    .filter(|(_, offered)| *offered)
    .map(|(name, _)| name.to_owned())
    .collect()
}

/// Operations that IORING_REGISTER_PROBE lists.
const OPCODES: [(&str, u8); 22] = [
    ("accept", opcode::Accept::CODE),
    ("async_cancel", opcode::AsyncCancel::CODE),
    ("close", opcode::Close::CODE),
    ("connect", opcode::Connect::CODE),
    ("link_timeout", opcode::LinkTimeout::CODE),
    ("msg_ring", opcode::MsgRingData::CODE),
    ("poll_add", opcode::PollAdd::CODE),
    ("poll_remove", opcode::PollRemove::CODE),
    ("provide_buffers", opcode::ProvideBuffers::CODE),
    ("read", opcode::Read::CODE),
    ("read_multishot", opcode::ReadMulti::CODE),
    ("recv", opcode::Recv::CODE),
    ("recvmsg", opcode::RecvMsg::CODE),
    ("send", opcode::Send::CODE),
    ("send_zc", opcode::SendZc::CODE),
    ("sendmsg", opcode::SendMsg::CODE),
    ("sendmsg_zc", opcode::SendMsgZc::CODE),
    ("shutdown", opcode::Shutdown::CODE),
    ("socket", opcode::Socket::CODE),
    ("splice", opcode::Splice::CODE),
    ("timeout", opcode::Timeout::CODE),
    ("write", opcode::Write::CODE),
];

fn listed_operations(probe: &Probe) -> Vec<&'static str> {
    let listed = OPCODES.into_iter().filter(|(_, code)| probe.is_supported(*code));
    listed.map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_listed_or_tried() {
        let tried = ring_trial::UNLISTED.map(|(name, _)| name);
        let mut known: Vec<_> = OPCODES.map(|(name, _)| name).into_iter().chain(tried).collect();
        known.sort_unstable();
        assert_eq!(known, OPERATIONS.map(|operation| operation.name));
    }
}
