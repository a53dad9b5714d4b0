//! The real binary as a child process, which tests kill, limit and start again.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Instant,
};

use crate::support::{Clients, DEADLINE};

/// A running `almanac serve`. It is killed when it is dropped, so that a test that fails does not leave it running.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    stderr: Arc<Mutex<String>>,
}

impl Process {
    /// Starts a server on a folder, with variables in its environment. `Err`: it ended; the text is its standard error.
    pub(crate) fn start(data: &Path, environment: &[(&str, &str)]) -> Result<Self, String> {
        Self::start_with(data, &[], environment)
    }

    /// Like [`Self::start`], with more arguments.
    pub(crate) fn start_with(data: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Self, String> {
        Self::start_listening(data, arguments, environment, |_| {})
    }

    /// Like [`Self::start_with`]; passes each line of standard error on, until the server listens.
    pub(crate) fn start_listening(
        data: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
        hears: impl FnMut(&str),
    ) -> Result<Self, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_almanac"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).args(arguments);
        Self::spawn(command, environment, hears)
    }

    /// Like [`Self::start`], with an upper bound on the length of every file that the server writes.
    pub(crate) fn start_with_file_limit(data: &Path, file_bytes_max: u64) -> Result<Self, String> {
        let mut command = Command::new("bash");
        // Without the trap, the signal would end the server before the write could fail.
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", file_bytes_max / 1024);
        command.args([
            "-c",
            &script,
            "bash",
            env!("CARGO_BIN_EXE_almanac"),
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data",
        ]);
        command.arg(data);
        Self::spawn(command, &[], |_| {})
    }

    fn spawn(mut command: Command, environment: &[(&str, &str)], mut hears: impl FnMut(&str)) -> Result<Self, String> {
        command.env("RUST_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        for variable in ["ALMANAC_CRASH_AT", "ALMANAC_FAIL_AT"] {
            command.env_remove(variable);
        }
        let mut child = command.envs(environment.iter().copied()).spawn().unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        let (sender, lines) = std::sync::mpsc::channel();
        let pipe = BufReader::new(child.stderr.take().unwrap());
        let heard = stderr.clone();
        std::thread::spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                heard.lock().unwrap().push_str(&format!("{line}\n"));
                let _ = sender.send(line);
            }
        });
        let started = Instant::now();
        while let Ok(line) = lines.recv_timeout(DEADLINE.saturating_sub(started.elapsed())) {
            hears(&line);
            if let Some((_, address)) = line.split_once(" listens on http://") {
                return Ok(Self { child, address: address.trim().parse().unwrap(), stderr });
            }
        }
        let _ = child.kill();
        let _ = child.wait();
        let stderr = stderr.lock().unwrap().clone();
        Err(stderr)
    }

    pub(crate) async fn clients(&self) -> Clients {
        Clients::connect(self.address).await
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Sends SIGTERM, and waits for the end.
    pub(crate) fn stop(self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        assert!(self.ended().success());
    }

    /// kill -9.
    pub(crate) fn kill(self) {}

    /// Waits until the server ends by itself.
    pub(crate) fn ended(mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if started.elapsed() > DEADLINE {
                let _ = self.child.kill();
                panic!("the server did not end; its standard error: {}", self.stderr());
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies a folder. No process may write to it meanwhile.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            copy_folder(&item.path(), &target);
        } else {
            std::fs::copy(item.path(), target).unwrap();
        }
    }
}
