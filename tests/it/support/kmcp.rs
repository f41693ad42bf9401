//! The binary under test, as a child process.

use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, Once},
    thread,
    time::{Duration, Instant},
};

/// Where agents reach every k-mcp under test, as far as it knows: any free port serves, and none has to be reserved.
pub const PUBLIC_URL: &str = "https://mcp.test";

/// One TLS provider for kube, the proxy and all clients of this process.
pub fn install_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
}

/// How a k-mcp is started.
#[derive(Debug, Clone)]
pub struct Options {
    pub namespace: String,
    pub server: String,
    pub token_file: PathBuf,
    pub ca_file: PathBuf,
    pub more: Vec<String>,
}

/// A running k-mcp; ends when it is dropped, and with this process.
pub struct Kmcp {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
    errors: Arc<Mutex<String>>,
    /// `http://127.0.0.1:PORT` of the agents' side.
    pub url: String,
    /// `http://127.0.0.1:PORT` of the admin side.
    pub admin: String,
    watchdog: (Child, Option<ChildStdin>),
}

impl Kmcp {
    pub fn start(options: &Options) -> Self {
        let Options { namespace, server, token_file, ca_file, more } = options;
        let mut child = Command::new(env!("CARGO_BIN_EXE_k-mcp"))
            .args(["serve", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--allow-loopback-upstreams"])
            .args(["--public-url", PUBLIC_URL, "--allowed-host", "127.0.0.1", "--namespace", namespace])
            .args(["--management-server", server])
            .args([Path::new("--management-token-file"), token_file, Path::new("--management-ca-file"), ca_file])
            .args(more)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Where this process is killed, its end of the pipe closes, and the watchdog takes the child along.
        let mut watchdog = Command::new("sh")
            .args(["-c", "read _; kill -9 $0 2> /dev/null", &child.id().to_string()])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let watchdog_end = watchdog.stdin.take();
        let (lines, errors) = (Arc::<Mutex<Vec<Value>>>::default(), Arc::<Mutex<String>>::default());
        let (out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        thread::spawn({
            let lines = lines.clone();
            move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    lines.lock().unwrap().push(serde_json::from_str(&line).unwrap_or(Value::String(line)));
                }
            }
        });
        thread::spawn({
            let errors = errors.clone();
            move || {
                let mut text = String::new();
                let _ = err.read_to_string(&mut text);
                errors.lock().unwrap().push_str(&text);
            }
        });
        let mut kmcp =
            Self { child, lines, errors, url: String::new(), admin: String::new(), watchdog: (watchdog, watchdog_end) };
        let started = kmcp.wait_for_line("k-mcp starts", |line| line["message"] == "k-mcp starts");
        kmcp.url = format!("http://{}", started["listen"].as_str().unwrap());
        kmcp.admin = format!("http://{}", started["admin"].as_str().unwrap());
        kmcp
    }

    /// Everything it has logged.
    pub fn log(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// Its audit lines.
    pub fn audit(&self) -> Vec<Value> {
        self.log().into_iter().filter(|line| line["target"] == "audit").collect()
    }

    /// The first log line that fits, when it comes.
    pub fn wait_for_line(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(line) = self.lines.lock().unwrap().iter().find(|line| fits(line)) {
                return line.clone();
            }
            assert!(Instant::now() < end, "no log line: {what}; log:\n{}", self.text());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The end of the log, for messages of failed tests.
    pub fn text(&self) -> String {
        let lines: Vec<String> = self.log().iter().rev().take(20).map(ToString::to_string).collect();
        let lines: Vec<&str> = lines.iter().rev().map(String::as_str).collect();
        format!("{}\n{}", lines.join("\n"), self.errors.lock().unwrap())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, as Kubernetes does.
    pub fn terminate(&self) {
        assert!(Command::new("kill").arg(self.pid().to_string()).status().unwrap().success());
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Kmcp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.watchdog.0.kill();
        let _ = self.watchdog.0.wait();
        self.watchdog.1 = None;
        if thread::panicking() {
            eprintln!("--- log of k-mcp\n{}", self.text());
        }
    }
}
