//! CPU time to the nanosecond, for windows of 1 s and more.

use std::collections::BTreeMap;
use std::time::Duration;

use report::Failure;

use super::readings::{Cpu, CpuTime};
use super::{Process, system};

/// The CPU time of each process of a server so far.
#[derive(Clone, Debug, Default)]
pub struct CpuTimes(BTreeMap<u32, CpuTime>);

/// The CPU time used between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuUse {
    /// To the nanosecond.
    pub total: Duration,
    /// `total`, divided by who used it in the proportion that the system reports; `None` if the
    /// system reports no time at all. Over a busy second on Linux, each part is accurate to about 1
    /// %.
    pub split: Option<Cpu>,
}

impl Process {
    /// CPU time used so far by processes that still run. It is more precise than [`Process::cpu`].
    ///
    /// # Errors
    /// `harness` if the system does not report it.
    pub fn cpu_times(&self) -> Result<CpuTimes, Failure> {
        let look = |pid| Ok((pid, system::cpu_time(pid)?));
        Ok(CpuTimes(self.read_each("its CPU time", look)?.into_iter().collect()))
    }
}

impl CpuTimes {
    /// The CPU time used since `before`. A process that has ended meanwhile counts nothing; a new
    /// process counts all that it has used.
    #[must_use]
    pub fn since(&self, before: &Self) -> CpuUse {
        let mut total = Duration::ZERO;
        let mut sampled = Cpu::default();
        for (pid, now) in &self.0 {
            let then = before.0.get(pid).copied().unwrap_or_default();
            total += now.total.saturating_sub(then.total);
            sampled.user += now.split.user.saturating_sub(then.split.user);
            sampled.system += now.split.system.saturating_sub(then.split.system);
        }
        let of_samples = sampled.user + sampled.system;
        let split = (!of_samples.is_zero()).then(|| {
            let user = total.mul_f64(sampled.user.as_secs_f64() / of_samples.as_secs_f64());
            let user = user.min(total);
            Cpu { user, system: total - user }
        });
        CpuUse { total, split }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(each: &[(u32, u64, u64, u64)]) -> CpuTimes {
        let ms = Duration::from_millis;
        let time = |&(pid, total, user, system)| {
            let split = Cpu { user: ms(user), system: ms(system) };
            (pid, CpuTime { total: ms(total), split })
        };
        CpuTimes(each.iter().map(time).collect())
    }

    #[test]
    fn the_exact_total_is_split_as_the_samples_say() {
        let before = times(&[(1, 1007, 600, 400), (2, 500, 500, 0)]);
        let now = times(&[(1, 1811, 800, 1000), (3, 8, 0, 0)]);
        let used = now.since(&before);
        assert_eq!(
            used.total,
            Duration::from_millis(812),
            "the second has ended, the third is new"
        );
        let split = used.split.unwrap();
        assert_eq!((split.user, split.system), (used.total / 4, used.total / 4 * 3));
        let little = times(&[(1, 1009, 600, 400)]).since(&before);
        assert_eq!((little.total, little.split), (Duration::from_millis(2), None));
    }

    #[cfg(any(target_os = "linux", target_os = "macos"))]
    #[test]
    fn a_thread_that_has_ended_is_counted_to_the_end() {
        let of_own = || {
            let pid = std::process::id();
            CpuTimes([(pid, system::cpu_time(pid).unwrap())].into())
        };
        let before = of_own();
        let ran = std::thread::spawn(|| {
            let clock = || {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
                Duration::try_from(time).unwrap()
            };
            while clock() < Duration::from_millis(123) {
                std::hint::spin_loop();
            }
            clock()
        });
        let ran = ran.join().unwrap();
        // Other tests run at the same time.
        let used = of_own().since(&before);
        assert!(used.total >= ran, "{used:?} of {ran:?}");
        assert!(used.split.is_some_and(|split| split.user + split.system == used.total));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_time_of_another_process_is_its_own() {
        use std::io::{Read as _, Write as _};
        use std::process::{Command, Stdio};

        let mut shell = Command::new("sh");
        shell.args(["-c", "echo; while read -r line; do echo; done"]);
        let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut turn = || {
            output.read_exact(&mut [0]).unwrap();
            system::cpu_time(child.id()).unwrap().total
        };
        let before = turn();
        input.write_all(b"\n").unwrap();
        let used = turn() - before;
        drop(input);
        child.wait().unwrap();
        // Far less than a tick, but more than nothing.
        assert!(!used.is_zero() && used < Duration::from_millis(5), "{used:?}");
    }
}
