// SPDX-License-Identifier: GPL-2.0-only
//! A program to run, with its limits.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use fs_err as fs;

use super::child::{Child, piped};
use super::error::ProcessError;
use super::pump::{self, Ended, Flow, Lines, Stream, Tail};
use crate::cancel::Cancel;

/// More output than this from one stream of a child is refused, in bytes.
const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A tool that nobody gave a limit gets this one.
const DEFAULT_LIMIT: Duration = Duration::from_secs(60);

/// A program to run: what, where, with what input, and for how long at most.
#[derive(Clone, Debug)]
pub struct Tool {
    program: OsString,
    args: Vec<OsString>,
    cwd: Option<Utf8PathBuf>,
    env: Vec<(OsString, Option<OsString>)>,
    env_clear: bool,
    stdin: Option<Vec<u8>>,
    log: Option<Utf8PathBuf>,
    limit_name: String,
    limit: Duration,
}

/// What a program that ended left behind.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output; empty when lines were handed on instead.
    pub stdout: Vec<u8>,
    /// Its standard error; empty when lines were handed on instead.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Returns standard output as text, with what is not UTF-8 replaced.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Returns standard error as text, with what is not UTF-8 replaced.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl Tool {
    /// Returns a call of `program` without arguments and with a limit of a minute.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            cwd: None,
            env: Vec::new(),
            env_clear: false,
            stdin: None,
            log: None,
            limit_name: "command".to_owned(),
            limit: DEFAULT_LIMIT,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets the folder to run in.
    #[must_use]
    pub fn cwd(mut self, dir: impl Into<Utf8PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((key.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes an environment variable.
    #[must_use]
    pub fn env_remove(mut self, key: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), None));
        self
    }

    /// Starts from an empty environment.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.env_clear = true;
        self
    }

    /// Gives the program these bytes as standard input; it has none otherwise.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Also writes all output to a file, made anew.
    #[must_use]
    pub fn log_to(mut self, path: impl Into<Utf8PathBuf>) -> Self {
        self.log = Some(path.into());
        self
    }

    /// Names and sets the time limit.
    #[must_use]
    pub fn deadline(mut self, name: impl Into<String>, limit: Duration) -> Self {
        self.limit_name = name.into();
        self.limit = limit;
        self
    }

    /// Returns the command as a person would type it in a shell.
    pub fn shown(&self) -> String {
        std::iter::once(&self.program)
            .chain(&self.args)
            .map(|word| quote(&word.to_string_lossy()))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Runs the program to its end and returns its output.
    ///
    /// # Errors
    /// When it cannot start, does not end in time, says too much, is
    /// cancelled, or ends with anything but 0.
    pub fn run(&self, cancel: &Cancel) -> Result<Output, ProcessError> {
        let output = self.run_unchecked(cancel)?;
        if output.status.success() {
            return Ok(output);
        }
        let mut tail = Tail::default();
        for bytes in [&output.stdout, &output.stderr] {
            let mut lines = Lines::default();
            lines.push(bytes, &mut |line| tail.push(line));
            lines.flush(&mut |line| tail.push(line));
        }
        Err(self.failed(output.status, tail))
    }

    /// Runs the program to its end; any exit status is fine.
    ///
    /// # Errors
    /// As [`Tool::run`], but for the exit status.
    pub fn run_unchecked(&self, cancel: &Cancel) -> Result<Output, ProcessError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let status = self.pump(cancel, &Tail::default, &mut |stream, bytes| {
            let buffer = if stream == Stream::Out {
                &mut stdout
            } else {
                &mut stderr
            };
            buffer.extend_from_slice(bytes);
            if buffer.len() > OUTPUT_BYTES_MAX {
                Flow::Stop
            } else {
                Flow::On
            }
        })?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }

    /// Runs the program and hands on each line of its two streams as it comes.
    ///
    /// # Errors
    /// As [`Tool::run`]; the error holds the last lines.
    pub fn run_lines(
        &self,
        cancel: &Cancel,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Output, ProcessError> {
        let tail = std::cell::RefCell::new(Tail::default());
        let (mut out, mut err) = (Lines::default(), Lines::default());
        let mut each = |line: &str| {
            tail.borrow_mut().push(line);
            on_line(line);
        };
        let status = self.pump(cancel, &|| tail.take(), &mut |stream, bytes| {
            let lines = if stream == Stream::Out {
                &mut out
            } else {
                &mut err
            };
            lines.push(bytes, &mut each);
            Flow::On
        })?;
        out.flush(&mut each);
        err.flush(&mut each);
        if status.success() {
            Ok(Output {
                status,
                stdout: Vec::new(),
                stderr: Vec::new(),
            })
        } else {
            Err(self.failed(status, tail.take()))
        }
    }

    /// Starts the program and returns it running, with no input; its output
    /// goes to the log file, or nowhere. The limit is the caller's to keep.
    ///
    /// # Errors
    /// When it cannot start, or the log file cannot be made.
    pub fn spawn(&self) -> Result<Child, ProcessError> {
        let mut command = self.command();
        command.stdin(Stdio::null());
        if let Some(path) = &self.log {
            let file = fs::File::create(path)
                .map_err(|source| self.io(source))?
                .into_parts()
                .0;
            let again = file.try_clone().map_err(|source| self.io(source))?;
            command.stdout(file).stderr(again);
        } else {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        Child::start(command, self.shown())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        if let Some(dir) = &self.cwd {
            command.current_dir(dir);
        }
        if self.env_clear {
            command.env_clear();
        }
        for (key, value) in &self.env {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command
    }

    fn pump(
        &self,
        cancel: &Cancel,
        tail: &dyn Fn() -> Tail,
        take: &mut dyn FnMut(Stream, &[u8]) -> Flow,
    ) -> Result<ExitStatus, ProcessError> {
        let mut log = match &self.log {
            Some(path) => Some(fs::File::create(path).map_err(|source| self.io(source))?),
            None => None,
        };
        let mut command = self.command();
        piped(&mut command, self.stdin.is_some());
        let deadline = Instant::now() + self.limit;
        let mut child = Child::start(command, self.shown())?;
        let chunks = pump::attach(&mut child, self.stdin.clone());
        let mut log_failed = None;
        let ended = pump::pump(&mut child, &chunks, deadline, cancel, &mut |chunk| {
            if let Some(Err(error)) = log.as_mut().map(|log| log.write_all(&chunk.bytes)) {
                log_failed = Some(error);
                return Flow::Stop;
            }
            take(chunk.stream, &chunk.bytes)
        });
        if let Some(source) = log_failed {
            return Err(self.io(source));
        }
        let command = self.shown();
        match ended {
            Ended::Exited(status) => Ok(status),
            Ended::Cancelled => Err(ProcessError::Cancelled { command }),
            Ended::Stopped => Err(ProcessError::TooMuchOutput {
                command,
                limit: OUTPUT_BYTES_MAX,
            }),
            Ended::Deadline => Err(ProcessError::Deadline {
                command,
                name: self.limit_name.clone(),
                limit: self.limit,
                tail: tail().into_text(),
            }),
        }
    }

    fn failed(&self, status: ExitStatus, tail: Tail) -> ProcessError {
        ProcessError::Failed {
            command: self.shown(),
            status,
            tail: tail.into_text(),
        }
    }

    fn io(&self, source: std::io::Error) -> ProcessError {
        ProcessError::Io {
            command: self.shown(),
            source,
        }
    }
}

/// Returns a word as a POSIX shell takes it.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Tool {
        Tool::new("sh").args(["-c", script])
    }

    #[test]
    fn output_and_status_come_back() {
        let output = shell("echo out; echo err >&2; exit 3")
            .run_unchecked(&Cancel::new())
            .unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(output.stdout_text(), "out\n");
        assert_eq!(output.stderr_text(), "err\n");
    }

    #[test]
    fn failure_shows_command_and_last_lines() {
        let error = shell("echo why; exit 1").run(&Cancel::new()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("sh -c 'echo why; exit 1'"), "{text}");
        assert!(text.ends_with("why"), "{text}");
    }

    #[test]
    fn a_deadline_kills_the_whole_group_and_names_itself() {
        let begun = Instant::now();
        let error = shell("sleep 60 & sleep 60")
            .deadline("nap", Duration::from_millis(100))
            .run(&Cancel::new())
            .unwrap_err();
        assert!(
            matches!(&error, ProcessError::Deadline { name, .. } if name == "nap"),
            "{error}"
        );
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_child_that_must_stop_may_tidy_up() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("tidied").display().to_string();
        let script = format!("trap 'touch {mark}; exit' TERM; while :; do sleep 0.01; done");
        shell(&script)
            .deadline("loop", Duration::from_millis(300))
            .run(&Cancel::new())
            .unwrap_err();
        assert!(std::path::Path::new(&mark).exists());
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipe_does_not_keep_us() {
        let begun = Instant::now();
        shell("sleep 60 & echo done").run(&Cancel::new()).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn cancellation_ends_a_child() {
        let cancel = Cancel::new();
        cancel.cancel();
        assert!(shell("sleep 60").run(&cancel).unwrap_err().is_cancelled());
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Tool::new("no-such-program-here")
            .run(&Cancel::new())
            .unwrap_err();
        assert!(
            matches!(error, ProcessError::NotFound { program } if program == "no-such-program-here")
        );
    }

    #[test]
    fn lines_are_handed_on_whole() {
        let mut seen = Vec::new();
        shell("printf 'a\\r\\nb'; printf 'c\\n'")
            .run_lines(&Cancel::new(), &mut |line| seen.push(line.to_owned()))
            .unwrap();
        assert_eq!(seen, ["a", "bc"]);
    }

    #[test]
    fn input_reaches_the_child() {
        let output = Tool::new("cat").stdin("hello").run(&Cancel::new()).unwrap();
        assert_eq!(output.stdout, b"hello");
    }

    #[test]
    fn a_shell_reads_each_quoted_word_as_it_was() {
        let characters = (1..=127_u8).map(|byte| char::from(byte).to_string());
        let mut words: Vec<String> = characters.collect();
        words.push(words.concat());
        words.extend(["", "it's", "a b'c", "-n", "~root", "$HOME", "\u{e9}"].map(str::to_owned));
        let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
        let output = shell(&format!("printf '%s\\0' {}", quoted.join(" ")))
            .run(&Cancel::new())
            .unwrap()
            .stdout_text();
        let read: Vec<&str> = output.split_terminator('\0').collect();
        assert_eq!(read, words);
    }

    #[test]
    fn quote_leaves_plain_words_as_they_are() {
        assert_eq!(quote("-m=3G"), "-m=3G");
        assert_eq!(quote("a b"), "'a b'");
    }
}
