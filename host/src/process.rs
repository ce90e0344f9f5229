// SPDX-License-Identifier: MIT OR Apache-2.0
//! Child processes with limits on lifetime, run time and output.
//!
//! Every child has a process group of its own, which is killed as a whole. The kernel kills
//! the child when the thread that started it ends (`prctl(2)`, `PR_SET_PDEATHSIG`), so a
//! child must be waited for on that thread.

mod child;

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Seek, Write, pipe};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use fs_err as fs;

use crate::cancel::Cancel;
pub use child::Child;
use child::{Ended, Lines, Tail, follow};

/// Maximum output of one stream of a child, in bytes.
const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Time limit of a tool without a limit of its own.
const DEFAULT_LIMIT: Duration = Duration::from_secs(60);

/// A program to run, with its input, environment and limits.
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

/// The result of a program that ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit status.
    pub status: ExitStatus,
    /// Its standard output; empty after [`Tool::run_lines`].
    pub stdout: Vec<u8>,
    /// Its standard error; empty after [`Tool::run_lines`].
    pub stderr: Vec<u8>,
}

impl Output {
    /// Returns standard output as text, with invalid UTF-8 replaced.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Returns standard error as text, with invalid UTF-8 replaced.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl Tool {
    /// Returns a call of `program` without arguments, with a time limit of a minute.
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

    /// Sets the bytes of standard input; the default is no input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Also writes all output to a file, which is truncated first.
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

    /// Returns the command, quoted for a shell.
    pub fn shown(&self) -> String {
        std::iter::once(&self.program)
            .chain(&self.args)
            .map(|word| quote(&word.to_string_lossy()))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Runs the program to its end and returns its output. Fails when it cannot start,
    /// exceeds its time or output limit, is cancelled, or ends with a status other than 0.
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

    /// Runs the program to its end and accepts any exit status. Fails as [`Tool::run`],
    /// except for the exit status.
    pub fn run_unchecked(&self, cancel: &Cancel) -> Result<Output, ProcessError> {
        let mut buffers = [Vec::new(), Vec::new()];
        let status = self.follow(cancel, &Tail::default, &mut |stream, bytes| {
            buffers[stream].extend_from_slice(bytes);
            buffers[stream].len() <= OUTPUT_BYTES_MAX
        })?;
        let [stdout, stderr] = buffers;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }

    /// Runs the program and passes each line of both streams to `on_line` as it arrives.
    /// Fails as [`Tool::run`]; the error holds the last lines.
    pub fn run_lines(
        &self,
        cancel: &Cancel,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Output, ProcessError> {
        let tail = RefCell::new(Tail::default());
        let mut lines = [Lines::default(), Lines::default()];
        let mut each = |line: &str| {
            tail.borrow_mut().push(line);
            on_line(line);
        };
        let status = self.follow(cancel, &|| tail.take(), &mut |stream, bytes| {
            lines[stream].push(bytes, &mut each);
            true
        })?;
        lines.iter_mut().for_each(|rest| rest.flush(&mut each));
        if !status.success() {
            return Err(self.failed(status, tail.take()));
        }
        Ok(Output {
            status,
            stdout: Vec::new(),
            stderr: Vec::new(),
        })
    }

    /// Starts the program without input; its output goes to the log file, or is dropped.
    /// The caller must enforce the time limit. Fails when it cannot start, or the log file
    /// cannot be created.
    pub fn spawn(&self) -> Result<Child, ProcessError> {
        let command = self.command().stdin_null();
        self.start(match &self.log {
            Some(path) => {
                let (file, _) = fs::File::create(path)
                    .map_err(|source| self.io(source))?
                    .into_parts();
                command.stderr_to_stdout().stdout_file(file)
            }
            None => command.stdout_null().stderr_null(),
        })
    }

    fn command(&self) -> duct::Expression {
        duct::cmd(&self.program, &self.args)
    }

    fn start(&self, command: duct::Expression) -> Result<Child, ProcessError> {
        let (cwd, env, env_clear) = (self.cwd.clone(), self.env.clone(), self.env_clear);
        let set_up = move |command: &mut Command| {
            if let Some(dir) = &cwd {
                command.current_dir(dir);
            }
            if env_clear {
                command.env_clear();
            }
            for (key, value) in &env {
                match value {
                    Some(value) => command.env(key, value),
                    None => command.env_remove(key),
                };
            }
        };
        Child::start(&command, set_up).map_err(|source| {
            // A missing working directory gives ENOENT, too.
            let has_dir = self.cwd.as_ref().is_none_or(|dir| dir.exists());
            match source.kind() {
                ErrorKind::NotFound if has_dir => ProcessError::NotFound {
                    program: self.program.to_string_lossy().into_owned(),
                },
                _ => ProcessError::Spawn {
                    command: self.shown(),
                    source,
                },
            }
        })
    }

    /// Starts the program and passes its output to `take`, which returns whether it accepts
    /// more, and to the log.
    fn follow(
        &self,
        cancel: &Cancel,
        tail: &dyn Fn() -> Tail,
        take: &mut dyn FnMut(usize, &[u8]) -> bool,
    ) -> Result<ExitStatus, ProcessError> {
        let io = |source| self.io(source);
        let mut log = self
            .log
            .as_ref()
            .map(fs::File::create)
            .transpose()
            .map_err(io)?;
        let (out, out_end) = pipe().map_err(io)?;
        let (err, err_end) = pipe().map_err(io)?;
        let deadline = Instant::now() + self.limit;
        // `start` drops the write ends; with a copy in this process, the pipes would not end.
        let child = self.start(
            match &self.stdin {
                // An unnamed file needs no thread that feeds a pipe.
                Some(bytes) => self.command().stdin_file(unnamed_file(bytes).map_err(io)?),
                None => self.command().stdin_null(),
            }
            .stdout_file(out_end)
            .stderr_file(err_end),
        )?;
        let mut log_failed = None;
        let ended = follow(
            &child,
            [out, err],
            deadline,
            cancel,
            &mut |stream, bytes| {
                if let Some(Err(error)) = log.as_mut().map(|log| log.write_all(bytes)) {
                    log_failed = Some(error);
                    return false;
                }
                take(stream, bytes)
            },
        );
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

fn unnamed_file(bytes: &[u8]) -> std::io::Result<std::fs::File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// Returns a word quoted for a POSIX shell.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Why a child process failed. Commands are quoted for a shell; `tail` has the last lines of
/// output.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages show the meaning of the fields")]
pub enum ProcessError {
    /// The program is not installed.
    #[error(
        "cannot run `{program}`: not installed or not in PATH\nhint: `{} doctor` lists the packages to install",
        crate::program::name()
    )]
    NotFound { program: String },
    /// The program could not be started.
    #[error("cannot start `{command}`: {source}")]
    Spawn {
        command: String,
        source: std::io::Error,
    },
    /// The program ended with an error.
    #[error("`{command}` failed ({status}){}", last_lines(.tail))]
    Failed {
        command: String,
        status: ExitStatus,
        tail: String,
    },
    /// The program exceeded its time limit and was killed.
    #[error("`{command}` did not end within the {name} limit of {} s{}", .limit.as_secs(), last_lines(.tail))]
    Deadline {
        command: String,
        name: String,
        limit: Duration,
        tail: String,
    },
    /// The run was cancelled.
    #[error("interrupted during `{command}`")]
    Cancelled { command: String },
    /// The program exceeded the output limit and was killed.
    #[error("`{command}` was stopped: more than {limit} bytes of output")]
    TooMuchOutput { command: String, limit: usize },
    /// A pipe or the log file failed.
    #[error("cannot exchange data with `{command}`: {source}")]
    Io {
        command: String,
        source: std::io::Error,
    },
}

impl ProcessError {
    /// Returns whether the run was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled { .. })
    }
}

fn last_lines(tail: &str) -> String {
    if tail.trim().is_empty() {
        String::new()
    } else {
        format!("; last lines of output:\n{}", tail.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Tool {
        Tool::new("sh").args(["-c", script])
    }

    #[test]
    fn run_unchecked_returns_output_and_status() {
        let output = shell("echo out; echo err >&2; exit 3")
            .run_unchecked(&Cancel::new())
            .unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(output.stdout_text(), "out\n");
        assert_eq!(output.stderr_text(), "err\n");
    }

    #[test]
    fn run_error_shows_command_and_last_lines() {
        let error = shell("echo why; exit 1").run(&Cancel::new()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("sh -c 'echo why; exit 1'"), "{text}");
        assert!(text.ends_with("why"), "{text}");
    }

    #[test]
    fn deadline_kills_the_process_group_and_names_the_limit() {
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
    fn deadline_lets_a_child_clean_up_on_sigterm() {
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
    fn run_returns_while_a_grandchild_holds_the_pipe() {
        let begun = Instant::now();
        shell("sleep 60 & echo done").run(&Cancel::new()).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn cancel_ends_a_running_child() {
        let cancel = Cancel::new();
        cancel.cancel();
        assert!(shell("sleep 60").run(&cancel).unwrap_err().is_cancelled());
    }

    #[test]
    fn run_reports_a_missing_program_by_name() {
        let error = Tool::new("no-such-program-here")
            .run(&Cancel::new())
            .unwrap_err();
        assert!(
            matches!(error, ProcessError::NotFound { program } if program == "no-such-program-here")
        );
    }

    #[test]
    fn run_lines_joins_chunks_into_lines() {
        let mut lines = Vec::new();
        shell("printf 'a\\r\\nb'; printf 'c\\n'")
            .run_lines(&Cancel::new(), &mut |line| lines.push(line.to_owned()))
            .unwrap();
        assert_eq!(lines, ["a", "bc"]);
    }

    #[test]
    fn stdin_bytes_reach_the_child() {
        let output = Tool::new("cat").stdin("hello").run(&Cancel::new()).unwrap();
        assert_eq!(output.stdout, b"hello");
    }

    #[test]
    fn quote_is_undone_by_the_shell_for_all_ascii_characters() {
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
    fn quote_leaves_plain_words_unquoted() {
        assert_eq!(quote("-m=3G"), "-m=3G");
        assert_eq!(quote("a b"), "'a b'");
    }
}
