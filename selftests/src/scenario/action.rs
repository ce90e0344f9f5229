// SPDX-License-Identifier: MIT OR Apache-2.0
//! The action of a step as a checked value, and its label in diagnostics.

use std::fmt;

use super::{Device, Step};

/// The action of a step. Names are C identifiers, unique in the scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the line of each variant names its fields")]
pub enum Action {
    /// Creates a session.
    CreateSession { session: String },
    /// Creates the sessions `NAME_1`, `NAME_2` and so on.
    CreateSessions { name: String, times: u64 },
    /// Retrieves a session from the previous kernel.
    RetrieveSession { session: String, answer: Answer },
    /// Reads the name of a session and compares it.
    SessionName { session: String, name: String },
    /// Preserves a file in a session.
    Preserve {
        file: String,
        session: String,
        token: u64,
    },
    /// Retrieves a file from a session.
    Retrieve {
        file: String,
        session: String,
        token: u64,
    },
    /// Finishes a session.
    Finish { session: String },
    /// Closes a file, a session or a user.
    Close { object: String },
    /// Opens the file of a device.
    OpenDevice { device: Device, file: String },
    /// Removes a device.
    RemoveDevice { device: Device, how: Removal },
    /// Removes a bridge above a device.
    RemoveBridge { device: Device, levels: u64 },
    /// Plugs a device into an empty slot.
    PlugDevice { device: Device },
    /// Rescans the PCI bus.
    Rescan,
    /// Unbinds a device from its driver.
    UnbindDriver { device: Device },
    /// Binds a device to a driver.
    BindDriver { device: Device, driver: String },
    /// Waits until a device is in a state.
    ExpectDevice { device: Device, state: DeviceState },
    /// Opens a path.
    OpenFile { path: String, file: String },
    /// Opens the file behind a file descriptor again.
    OpenAgain {
        of: String,
        access: Access,
        file: String,
    },
    /// Creates a memfd.
    CreateMemfd {
        file: String,
        contents: String,
        executable: bool,
    },
    /// Reads the size of a file and compares it.
    FileSize { file: String, size: u64 },
    /// Writes to a file.
    WriteFile {
        file: String,
        at: u64,
        contents: String,
    },
    /// Reads a file and compares its contents.
    ReadFile { file: String, contents: String },
    /// Maps a file and compares its contents.
    CheckMapping { file: String, contents: String },
    /// Changes the size of a file.
    Truncate { file: String, size: u64 },
    /// Adds seals to a memfd.
    Seal { file: String, seals: Vec<Seal> },
    /// Reads the seals of a memfd and compares them.
    ReadSeals { file: String, seals: Vec<Seal> },
    /// Writes to a path in sysfs, debugfs or tracefs.
    WritePath { path: KernelPath, contents: String },
    /// Reads a path in sysfs, debugfs or tracefs and compares its contents.
    ReadPath { path: KernelPath, contents: String },
    /// Writes a register of a device.
    WriteRegister { file: String, at: u64, value: u64 },
    /// Reads a register of a device, and compares it if a value is given.
    ReadRegister {
        file: String,
        at: u64,
        value: Option<u64>,
    },
    /// Gets, uses or puts an FLB as a user inside the kernel.
    User {
        user: String,
        act: UserAct,
        flb: Flb,
    },
    /// Makes the next calls of a callback of the test driver fail.
    FailNext {
        callback: String,
        errno: String,
        times: u64,
    },
    /// Repeats an action with each of its allocations failing in turn.
    FailAllocations {
        action: Box<Action>,
        undo: Vec<Action>,
    },
    /// Starts a process that takes over objects.
    StartProcess { process: String, takes: Vec<String> },
    /// Kills a process.
    KillProcess { process: String },
    /// Attempts a kexec that must fail.
    TryKexec,
    /// Starts an action in another thread, which is held at a sync point.
    Hold { action: Box<Action>, at: SyncPoint },
    /// Starts an action in another thread, which must wait for the held thread.
    Wait {
        action: Box<Action>,
        functions: Vec<String>,
    },
    /// Releases the held thread and waits for the end of its action.
    Release { action: Box<Action> },
    /// Waits for the end of the waiting action.
    EndWait { action: Box<Action> },
    /// Runs two actions concurrently.
    Race {
        action: Box<Action>,
        against: Box<Action>,
        /// The expected result of the second action.
        against_returns: super::Returns,
    },
    /// Repeats steps; their expectations are checked each time.
    Repeat { times: u64, steps: Vec<Step> },
    /// Checks for memory leaks.
    CheckLeaks,
    /// Does nothing; only the expectations of the step are checked.
    Observe { text: String },
}

/// Whether the kernel can write the answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The memory for the answer is writable.
    Taken,
    /// The memory for the answer is read-only.
    Unwritable,
}

/// The access mode of open(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    ReadWrite,
}

impl Access {
    /// Returns the flag of open(2).
    #[must_use]
    pub const fn flag(self) -> &'static str {
        match self {
            Self::Read => "O_RDONLY",
            Self::ReadWrite => "O_RDWR",
        }
    }
}

/// How a device is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Through `remove` in sysfs.
    Sysfs,
    /// By powering off the slot.
    SlotPower,
    /// Orderly, requested by the host.
    Unplug,
    /// By the host, without notice.
    Surprise,
}

/// The state of a device in sysfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceState {
    /// Not in sysfs.
    Absent,
    /// In sysfs.
    Present,
    /// In sysfs, with a driver.
    Bound,
    /// In sysfs, without a driver.
    Unbound,
}

/// A seal of a memfd, `F_SEAL_...`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those of the kernel")]
pub enum Seal {
    Seal,
    Shrink,
    Grow,
    Write,
    FutureWrite,
    Exec,
}

/// A path in sysfs, debugfs or tracefs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the line of each variant names its fields")]
pub enum KernelPath {
    /// An absolute path.
    Plain(String),
    /// A path relative to the folder of a device in sysfs.
    OfDevice { device: Device, attribute: String },
}

/// An operation of a user inside the kernel on an FLB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserAct {
    /// Takes a reference.
    Get,
    /// Accesses the object.
    Use,
    /// Releases the reference.
    Put,
}

/// An FLB that users inside the kernel can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flb {
    /// The FLB of the driver, to be handed to the next kernel.
    Outgoing,
    /// The FLB of the driver, from the previous kernel.
    Incoming,
    /// An FLB with another name, which is never preserved.
    Other,
}

/// The kernel function at which a thread is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncPoint {
    /// The kernel function.
    pub function: String,
    /// Whether the thread is held at the return instead of the entry.
    pub at_return: bool,
}

macro_rules! words {
    ($kind:ident: $($value:ident = $word:literal),+) => {
        impl $kind {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// Returns the word of the scenario language.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$value => $word),+
                }
            }

            /// Returns the value of a word of the scenario language.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.word() == word)
            }
        }
    };
}

words!(Removal: Sysfs = "sysfs", SlotPower = "slot-power", Unplug = "unplug", Surprise = "surprise");
words!(Access: Read = "read", ReadWrite = "read-write");
words!(Answer: Taken = "taken", Unwritable = "unwritable");
words!(DeviceState: Absent = "absent", Present = "present", Bound = "bound", Unbound = "unbound");
words!(Seal: Seal = "seal", Shrink = "shrink", Grow = "grow", Write = "write", FutureWrite = "future_write", Exec = "exec");
words!(UserAct: Get = "get", Use = "use", Put = "put");

impl Flb {
    /// Returns the name of the debugfs file of the test driver for this FLB.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Outgoing => "outgoing_flb",
            Self::Incoming => "incoming_flb",
            Self::Other => "other_flb",
        }
    }
}

impl fmt::Display for SyncPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.at_return { "%return" } else { "" };
        write!(f, "{}{at}", self.function)
    }
}

impl fmt::Display for KernelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(path) => f.write_str(path),
            Self::OfDevice { device, attribute } => write!(f, "{attribute} of {device}"),
        }
    }
}

impl fmt::Display for Flb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outgoing => "the outgoing FLB",
            Self::Incoming => "the incoming FLB",
            Self::Other => "the other FLB",
        })
    }
}

/// The label of a step in diagnostics, timelines and reports.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateSession { session } => write!(f, "create session {session}"),
            Self::CreateSessions { name, times } => {
                write!(f, "create sessions {name}_1 to {name}_{times}")
            }
            Self::RetrieveSession {
                session,
                answer: Answer::Taken,
            } => write!(f, "retrieve session {session}"),
            Self::RetrieveSession { session, .. } => {
                write!(f, "retrieve session {session}, with a read-only answer")
            }
            Self::SessionName { session, .. } => write!(f, "read the name of {session}"),
            Self::Preserve { file, session, .. } => write!(f, "preserve {file} in {session}"),
            Self::Retrieve { file, session, .. } => write!(f, "retrieve {file} from {session}"),
            Self::Finish { session } => write!(f, "finish {session}"),
            Self::Close { object } => write!(f, "close {object}"),
            Self::OpenDevice { device, file } => write!(f, "open {device} as {file}"),
            Self::RemoveDevice { device, how } => match how {
                Removal::Sysfs => write!(f, "remove {device}"),
                Removal::SlotPower => write!(f, "power off the slot of {device}"),
                Removal::Unplug => write!(f, "unplug {device}"),
                Removal::Surprise => write!(f, "surprise-remove {device}"),
            },
            Self::RemoveBridge { device, levels: 1 } => {
                write!(f, "remove the bridge above {device}")
            }
            Self::RemoveBridge { device, levels } => {
                write!(f, "remove the bridge {levels} levels above {device}")
            }
            Self::PlugDevice { device } => write!(f, "plug {device} in"),
            Self::Rescan => f.write_str("rescan the PCI bus"),
            Self::UnbindDriver { device } => write!(f, "unbind {device}"),
            Self::BindDriver { device, driver } => write!(f, "bind {device} to {driver}"),
            Self::ExpectDevice { device, state } => {
                write!(f, "wait until {device} is {}", state.word())
            }
            Self::OpenFile { path, file } => write!(f, "open {path} as {file}"),
            Self::OpenAgain { of, file, access } => {
                write!(f, "reopen {of} as {file} for {}", access.word())
            }
            Self::CreateMemfd { file, .. } => write!(f, "create memfd {file}"),
            Self::FileSize { file, .. } => write!(f, "read the size of {file}"),
            Self::WriteFile { file, .. } => write!(f, "write {file}"),
            Self::ReadFile { file, .. } => write!(f, "read {file}"),
            Self::CheckMapping { file, .. } => write!(f, "map {file}"),
            Self::Truncate { file, size } => write!(f, "truncate {file} to {size} bytes"),
            Self::Seal { file, .. } => write!(f, "seal {file}"),
            Self::ReadSeals { file, .. } => write!(f, "read the seals of {file}"),
            Self::WritePath { path, contents } => write!(f, "write {contents} to {path}"),
            Self::ReadPath { path, .. } => write!(f, "read {path}"),
            Self::WriteRegister { file, at, value } => {
                write!(f, "write {value:#x} to register {at:#x} of {file}")
            }
            Self::ReadRegister { file, at, .. } => write!(f, "read register {at:#x} of {file}"),
            Self::User { user, act, flb } => write!(f, "{user}: {} {flb}", act.word()),
            Self::FailNext {
                callback,
                errno,
                times,
            } => match times {
                1 => write!(f, "make the next {callback} fail with {errno}"),
                _ => write!(f, "make the next {times} {callback} fail with {errno}"),
            },
            Self::FailAllocations { action, .. } => {
                write!(f, "{action}, with each allocation failing in turn")
            }
            Self::StartProcess { process, takes } => {
                write!(f, "start {process} with {}", takes.join(", "))
            }
            Self::KillProcess { process } => write!(f, "kill {process}"),
            Self::TryKexec => f.write_str("attempt a kexec"),
            Self::Hold { action, at } => write!(f, "{action}, held at {at}"),
            Self::Wait { action, functions } => {
                write!(f, "{action}, waiting in {}", functions.join(" or "))
            }
            Self::Release { action } => write!(f, "release: {action}"),
            Self::EndWait { action } => write!(f, "wait for completion: {action}"),
            Self::Race {
                action, against, ..
            } => write!(f, "race: {action} against {against}"),
            Self::Repeat { times, .. } => write!(f, "repeat {times} times"),
            Self::CheckLeaks => f.write_str("check for memory leaks"),
            Self::Observe { text } => f.write_str(text),
        }
    }
}
