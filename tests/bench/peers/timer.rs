//! Waiting until the next query is due: tokio's own timers have a resolution of a millisecond, so that this is a timer
//! of the kernel's, which wakes the program up as a caller's request by a socket would. And when that is, by chance.
use crate::die;
use std::os::unix::io::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;

pub struct Timer {
    fd: AsyncFd<OwnedFd>,
    random: u64,
}

impl Timer {
    pub fn new() -> Timer {
        // SAFETY: no memory is passed; the descriptor is nobody else's.
        let fd = unsafe {
            let fd = libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC);
            if fd < 0 {
                die("timerfd_create", std::io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        Timer { fd: AsyncFd::new(fd).unwrap_or_else(|error| die("timer", error)), random: 88172645463325252 }
    }

    pub async fn wait_until(&self, due: Instant) {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.set(left);
            match self.fd.readable().await {
                Ok(mut guard) => guard.clear_ready(),
                Err(error) => die("timer", error),
            }
        }
    }

    fn set(&self, left: Duration) {
        // SAFETY: the struct is whole and lives as long as the call; no old value is asked for.
        let rc = unsafe {
            let mut when: libc::itimerspec = std::mem::zeroed();
            when.it_value.tv_sec = left.as_secs() as libc::time_t;
            when.it_value.tv_nsec = left.subsec_nanos() as libc::c_long;
            libc::timerfd_settime(self.fd.as_raw_fd(), 0, &when, std::ptr::null_mut())
        };
        if rc != 0 {
            die("timerfd_settime", std::io::Error::last_os_error());
        }
    }

    /// Exponentially distributed with that mean: xorshift64*, as everywhere where chance has to be the same each time.
    pub fn random_gap(&mut self, mean_ns: f64) -> Duration {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let chance = ((self.random.wrapping_mul(2685821657736338717) >> 11) + 1) as f64 / 9007199254740992.0;
        Duration::from_nanos((-chance.ln() * mean_ns) as u64)
    }
}
