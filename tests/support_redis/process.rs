//! A process of a test, known by its id, and the directory it works in.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::until;

/// Ended when it is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts a program; `advice` says how to get it where it is missing.
    pub(super) fn start(command: &mut Command, advice: &str) -> Self {
        match command.spawn() {
            Ok(child) => Self { child },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("{:?} is missing: {advice}", command.get_program())
            }
            Err(error) => panic!("{:?} does not start: {error}", command.get_program()),
        }
    }

    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it ended by itself.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of this process")
    }

    /// Ends it without a warning, by SIGKILL.
    pub(super) fn kill(&mut self) {
        self.child.kill().expect("a child of this process");
        self.child.wait().expect("a child of this process");
    }

    /// Lets it stand still, by SIGSTOP.
    pub(super) fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on, by SIGCONT.
    pub(super) fn cont(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks it to end, by SIGTERM, and waits for that.
    pub(super) async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        until("the process ends", async || self.ended()).await
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child of this process");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A child that was waited for is not signalled again: its id may be somebody else's.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A fresh directory, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("primacron-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        drop(fs::remove_dir_all(&path));
        fs::create_dir(&path).expect("a directory for temporary files");
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What a process logged there.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.path.join("log")).unwrap_or_default()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.path));
    }
}
