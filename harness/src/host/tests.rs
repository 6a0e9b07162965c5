//! Tests the probe on this machine, unrestricted and in restricted children, and its sentences
//! about other hosts.

use super::*;

#[test]
fn a_hosted_runner_is_named_by_its_environment() {
    let github = |name: &str| match name {
        "ImageOS" => Some("ubuntu24".to_owned()),
        "ImageVersion" => Some("20261101.1.0".to_owned()),
        _ => None,
    };
    let found = runner(github).unwrap();
    assert_eq!(found.image, Some("ubuntu24".into()));
    assert_eq!(found.name, None);
    assert_eq!(runner(|_| None), None);
}

#[test]
fn every_driver_has_an_answer() {
    let host = probe();
    let names: Vec<_> = host.drivers.iter().map(|driver| driver.name.clone()).collect();
    assert_eq!(names, ["epoll", "kqueue", "afd", "iocp", "io_uring", "threads"]);
    assert!(host.driver("threads").unwrap().is_available());
    assert_eq!(host.driver("epoll").unwrap().is_available(), cfg!(target_os = "linux"));
    assert_eq!(host.driver("iocp").unwrap().is_available(), cfg!(windows));
    assert_eq!(host.io_uring.is_some(), host.driver("io_uring").unwrap().is_available());
}

#[cfg(target_os = "linux")]
mod refusals {
    use report::host::{Availability, Hint, Limit, LimitValue, Limits, Seccomp};
    use rustix::io::Errno;

    use crate::host::facts::{Facts, Privilege};
    use crate::host::refusal::{Refusal, UringCall};

    fn facts() -> Facts {
        Facts {
            kernel: Some("6.17.0-1002-azure".to_owned()),
            seccomp: Some(Seccomp::Off),
            io_uring_disabled: Some(0),
            ..Facts::default()
        }
    }

    fn docker() -> Facts {
        Facts {
            container: Some(Hint {
                name: "docker".to_owned().into(),
                evidence: "/.dockerenv exists".to_owned().into(),
            }),
            seccomp: Some(Seccomp::Filter),
            ..facts()
        }
    }

    fn memlock(soft: LimitValue, memlock_exempt: bool) -> Limits {
        Limits { open_files: None, memlock: Some(Limit { soft, hard: soft }), memlock_exempt }
    }

    #[track_caller]
    fn assert_explained(errno: Errno, facts: &Facts, limits: &Limits, why: &str, remedy: &str) {
        let call = UringCall::Setup { small_fits: false };
        let Availability::Unavailable { reason, fix } =
            (Refusal { call, errno }).explain(facts, limits)
        else {
            panic!("a refusal cannot be available");
        };
        let fix = fix.unwrap();
        assert!(reason.starts_with("io_uring_setup answers E"), "{reason:?}");
        assert!(reason.contains(why), "expected '{why}' in {reason:?}");
        assert!(fix.contains(remedy), "expected '{remedy}' in {fix:?}");
    }

    #[test]
    fn eperm_is_the_sysctl_before_anything_else() {
        let limits = memlock(LimitValue::Unlimited, false);
        let off = |value, facts: Facts| Facts { io_uring_disabled: Some(value), ..facts };
        let fix = "sysctl kernel.io_uring_disabled=0";
        let two = off(2, facts());
        assert_explained(Errno::PERM, &two, &limits, "io_uring_disabled is 2", fix);
        let one = off(1, facts());
        assert_explained(Errno::PERM, &one, &limits, "io_uring_disabled is 1", fix);
        let both = off(2, docker());
        assert_explained(Errno::PERM, &both, &limits, "is 2", "on the host, not in the container");
        assert_explained(Errno::PERM, &both, &limits, "is 2", "filter over this process must");
        // Root is allowed at 1, so something else denied it.
        let mut root = off(1, docker());
        root.privilege = Privilege { io_uring: true, ..Privilege::default() };
        assert_explained(Errno::PERM, &root, &limits, "seccomp filter", "seccomp=unconfined");
    }

    #[test]
    fn eperm_is_the_containers_filter_where_there_is_one() {
        let limits = memlock(LimitValue::Unlimited, false);
        let why = "docker denies io_uring by default";
        let fix = "--security-opt seccomp=unconfined";
        assert_explained(Errno::PERM, &docker(), &limits, why, fix);
        let mut desktop = docker();
        desktop.kernel = Some("6.12.54-linuxkit".to_owned());
        assert_explained(Errno::PERM, &desktop, &limits, why, "Docker Desktop since 4.42");
        let mut pod = docker();
        pod.container.as_mut().unwrap().name = "kubernetes".to_owned().into();
        assert_explained(Errno::PERM, &pod, &limits, "kubernetes denies", "securityContext");
        let mut service = docker();
        service.container = None;
        assert_explained(Errno::PERM, &service, &limits, "seccomp filter", "@aio");
        assert_explained(Errno::PERM, &facts(), &limits, "no seccomp filter", "ausearch");
    }

    #[test]
    fn enosys_is_age_a_filter_or_a_stand_in() {
        let limits = memlock(LimitValue::Unlimited, false);
        let mut old = facts();
        old.kernel = Some("4.19.0-27-amd64".to_owned());
        assert_explained(Errno::NOSYS, &old, &limits, "4.19.0-27-amd64 is too old", "newer");
        let why = "6.17.0-1002-azure is new enough";
        assert_explained(Errno::NOSYS, &docker(), &limits, why, "seccomp=unconfined");
        assert_explained(Errno::NOSYS, &facts(), &limits, "CONFIG_IO_URING", "outside");
        let mut gvisor = old;
        gvisor.container =
            Some(Hint { name: "gVisor".to_owned().into(), evidence: String::new().into() });
        assert_explained(Errno::NOSYS, &gvisor, &limits, "gVisor stands in", "runc");
    }

    #[test]
    fn enomem_is_the_memory_lock_limit_where_it_binds() {
        let tiny = memlock(LimitValue::At(65_536), false);
        let why = "is 64 KiB, and a ring of 1,024 entries is charged 104 KiB";
        assert_explained(Errno::NOMEM, &facts(), &tiny, why, "LimitMEMLOCK=infinity");
        assert_explained(Errno::NOMEM, &docker(), &tiny, why, "--ulimit memlock=-1:-1");
        let usual = memlock(LimitValue::At(8 << 20), false);
        assert_explained(Errno::NOMEM, &facts(), &usual, "8 MiB, room for 78 rings", "memlock");
        let exempt = memlock(LimitValue::At(65_536), true);
        let why = "does not bind (CAP_IPC_LOCK is held)";
        assert_explained(Errno::NOMEM, &docker(), &exempt, why, "seccomp=unconfined");
        let none = memlock(LimitValue::Unlimited, false);
        assert_explained(Errno::NOMEM, &facts(), &none, "short of memory", "free memory");
    }
}

/// Tests real refusals in a child process: this test binary runs one test, which restricts itself.
#[cfg(target_os = "linux")]
mod restricted {
    use std::env;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use report::host::{Availability, Host};

    use crate::host::probe;
    use crate::restrict::{Denial, Restrictions};

    const RESTRICTIONS: &str = "CONFORMANCE_TEST_RESTRICTIONS";
    /// Usually `nobody`: no capabilities, and no other process whose rings count against the limit
    /// of this user.
    const ORDINARY_USER: u32 = 65_534;

    /// Not a test by itself: the other tests run it in their child. It prints what the probe found.
    #[test]
    fn child() {
        let Ok(args) = env::var(RESTRICTIONS) else {
            return;
        };
        let args: Vec<_> = args.split_whitespace().collect();
        Restrictions::from_args(&args).unwrap().apply().unwrap();
        let host = probe();
        println!("\nRING {:?}", host.driver("io_uring").unwrap());
        println!("EPOLL {:?}", host.driver("epoll").unwrap());
    }

    fn probe_under(restrictions: &Restrictions, user: Option<u32>) -> String {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "host::tests::restricted::child", "--nocapture"])
            .env(RESTRICTIONS, restrictions.to_args().join(" "));
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let output = command.output().unwrap_or_else(|error| {
            panic!("start {} as user {user:?}: {error}", env::current_exe().unwrap().display())
        });
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}{:?}", output.stderr);
        text
    }

    fn ring_works_here(host: &Host) -> bool {
        host.driver("io_uring").is_some_and(Availability::is_available)
    }

    #[test]
    fn a_denied_ring_is_explained_with_its_errno() {
        for (denial, name) in
            [(Denial::Enosys, "ENOSYS"), (Denial::Eperm, "EPERM"), (Denial::Enomem, "ENOMEM")]
        {
            let text = probe_under(
                &Restrictions { deny_io_uring: Some(denial), ..Restrictions::default() },
                None,
            );
            let expected = format!("RING Unavailable {{ reason: \"io_uring_setup answers {name}");
            assert!(text.contains(&expected), "{text}");
            assert!(text.contains("seccomp filter"), "{text}");
        }
    }

    #[test]
    fn without_descriptors_the_limit_is_named() {
        let text =
            probe_under(&Restrictions { open_files: Some(3), ..Restrictions::default() }, None);
        assert!(text.contains("all 3 descriptors"), "{text}");
        assert!(text.contains("EPOLL Unavailable"), "{text}");
        assert!(text.contains("ulimit -n"), "{text}");
    }

    #[test]
    fn too_little_locked_memory_is_named() {
        let host = probe();
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can become another user whose rings nobody shares");
            return;
        }
        if !ring_works_here(&host) {
            eprintln!("skipped: io_uring is not available here at all");
            return;
        }
        let text = probe_under(
            &Restrictions { memlock_bytes: Some(65_536), ..Restrictions::default() },
            Some(ORDINARY_USER),
        );
        // Kernels from 5.12 to about 6.13 do not charge rings to this limit.
        if text.contains("RING Available") {
            eprintln!("skipped: this kernel does not charge rings to the memory-lock limit");
            return;
        }
        assert!(text.contains("RLIMIT_MEMLOCK) is 64 KiB"), "{text}");
    }
}
