//! Why there is no ring, or no driver that stands in for it. Each variant is one sentence that an operator can act on.
//! Refused, out of resources and too old are told apart, because only the first and the last are
//! reasons to fall back to another driver; running out is a reason to stop.

use rustix::io::Errno;

/// Why a ring could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The machine forbids io_uring (EPERM, EACCES, ENOSYS, EOPNOTSUPP at setup).
    #[error(
        "io_uring is not permitted here ({}). Usual causes: a container seccomp profile (Docker \
         since 25 and containerd block io_uring: allow io_uring_setup, io_uring_enter and \
         io_uring_register in the profile); the sysctl kernel.io_uring_disabled (set it to 0, or \
         to 1 and put the user into kernel.io_uring_group); a locked-memory limit on an old \
         kernel (raise memlock, LimitMEMLOCK= under systemd)",
        std::io::Error::from_raw_os_error(*errno)
    )]
    NotPermitted {
        /// What the kernel answered.
        errno: i32,
    },
    /// The kernel ran out of something that the ring needs.
    #[error(
        "no resources while {attempt}: {} (memory, open files, locked memory or, for threads, \
         processes: see ulimit -n, -l and -u, TasksMax= and --pids-limit)",
        std::io::Error::from_raw_os_error(*errno)
    )]
    Resources {
        /// What was being made.
        attempt: &'static str,
        /// What the kernel answered.
        errno: i32,
    },
    /// The kernel has io_uring, but lacks something that we cannot do without.
    #[error("this kernel's io_uring is too old, Linux 6.1 is needed; missing: {}", missing.join(", "))]
    TooOld {
        /// Opcodes and features that are missing.
        missing: Vec<&'static str>,
    },
    /// The kernel answered something that we did not foresee.
    #[error("the kernel failed while {attempt}: {}", std::io::Error::from_raw_os_error(*errno))]
    Failed {
        /// What was being made.
        attempt: &'static str,
        /// What the kernel answered.
        errno: i32,
    },
}

impl RingError {
    /// Sorts an error of making the ring itself.
    pub(super) fn setup(errno: i32) -> RingError {
        let refused = [Errno::PERM, Errno::ACCESS, Errno::NOSYS, Errno::OPNOTSUPP];
        if refused
            .iter()
            .any(|refusal| refusal.raw_os_error() == errno)
        {
            return RingError::NotPermitted { errno };
        }
        RingError::register("making the ring", errno)
    }

    /// Sorts the same for the plainest flags that we have: a kernel that does not know them says EINVAL.
    pub(super) fn plainest_setup(errno: i32) -> RingError {
        if errno == Errno::INVAL.raw_os_error() {
            return RingError::TooOld {
                missing: vec!["setup flags of Linux 5.6"],
            };
        }
        RingError::setup(errno)
    }

    /// A thread for files could not be started: whatever the reason, it is one of the limits.
    pub(super) fn thread(error: &std::io::Error) -> RingError {
        let errno = error.raw_os_error();
        RingError::Resources {
            attempt: "starting a thread for files",
            errno: errno.unwrap_or(Errno::AGAIN.raw_os_error()),
        }
    }

    /// Whether it says that this machine has no io_uring for us, now and at every later try. A want
    /// of resources says no such thing.
    pub fn is_unavailable(&self) -> bool {
        match self {
            RingError::NotPermitted { .. } | RingError::TooOld { .. } => true,
            RingError::Resources { .. } | RingError::Failed { .. } => false,
        }
    }

    /// Sorts an error of a later step.
    pub(super) fn register(attempt: &'static str, errno: i32) -> RingError {
        let scarce = [Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::AGAIN];
        if scarce
            .iter()
            .any(|scarcity| scarcity.raw_os_error() == errno)
        {
            return RingError::Resources { attempt, errno };
        }
        RingError::Failed { attempt, errno }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_three_causes() {
        let text = RingError::setup(Errno::PERM.raw_os_error()).to_string();
        for cause in ["seccomp", "kernel.io_uring_disabled", "memlock"] {
            assert!(text.contains(cause), "{text}");
        }
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn running_out_is_not_a_refusal() {
        for errno in [Errno::NOMEM, Errno::MFILE] {
            let error = RingError::setup(errno.raw_os_error());
            assert!(matches!(error, RingError::Resources { .. }), "{error}");
            assert!(!error.is_unavailable(), "{error}");
        }
        let error = RingError::setup(Errno::INVAL.raw_os_error());
        assert!(matches!(error, RingError::Failed { .. }), "{error}");
        assert!(!error.is_unavailable(), "{error}");
    }

    #[test]
    fn a_machine_that_forbids_or_lacks_io_uring_has_none() {
        for errno in [Errno::PERM, Errno::NOSYS] {
            let error = RingError::setup(errno.raw_os_error());
            assert!(error.is_unavailable(), "{error}");
        }
        let missing = vec!["linkat"];
        assert!(RingError::TooOld { missing }.is_unavailable());
        // Linux 5.4 does not know CLAMP.
        let error = RingError::plainest_setup(Errno::INVAL.raw_os_error());
        assert!(matches!(error, RingError::TooOld { .. }), "{error}");
        let error = RingError::plainest_setup(Errno::NOMEM.raw_os_error());
        assert!(!error.is_unavailable(), "{error}");
    }
}
