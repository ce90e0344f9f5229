// SPDX-License-Identifier: GPL-2.0-only
//! What a step does, as a checked value, and the sentence that says so.

use std::fmt;

use super::{Device, Step};

/// What a step does. Names are C identifiers, unique in the scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the line of each variant names its fields")]
pub enum Action {
    /// Makes a session.
    CreateSession { session: String },
    /// Makes many sessions, with numbers behind their common name.
    CreateSessions { name: String, times: u64 },
    /// Retrieves a session of the kernel before.
    RetrieveSession { session: String, answer: Answer },
    /// Asks a session for its name and compares it.
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
    /// Plugs a device into a slot that was emptied.
    PlugDevice { device: Device },
    /// Looks for devices again.
    Rescan,
    /// Takes a device from its driver.
    UnbindDriver { device: Device },
    /// Gives a device to a driver.
    BindDriver { device: Device, driver: String },
    /// Waits until a device is in a state.
    ExpectDevice { device: Device, state: DeviceState },
    /// Opens what is at a path.
    OpenFile { path: String, file: String },
    /// Opens what another file is open on.
    OpenAgain {
        of: String,
        access: Access,
        file: String,
    },
    /// Makes a memfd.
    CreateMemfd {
        file: String,
        contents: String,
        executable: bool,
    },
    /// Asks a file for its size and compares it.
    FileSize { file: String, size: u64 },
    /// Writes to a file.
    WriteFile {
        file: String,
        at: u64,
        contents: String,
    },
    /// Reads a file and compares it.
    ReadFile { file: String, contents: String },
    /// Maps a file and compares it.
    CheckMapping { file: String, contents: String },
    /// Changes a file's size.
    Truncate { file: String, size: u64 },
    /// Adds seals to a memfd.
    Seal { file: String, seals: Vec<Seal> },
    /// Asks a memfd for its seals and compares them.
    ReadSeals { file: String, seals: Vec<Seal> },
    /// Writes to a path of the kernel's.
    WritePath { path: KernelPath, contents: String },
    /// Reads a path of the kernel's and compares it.
    ReadPath { path: KernelPath, contents: String },
    /// Writes a device's register.
    WriteRegister { file: String, at: u64, value: u64 },
    /// Reads a device's register, and compares it where a value is given.
    ReadRegister {
        file: String,
        at: u64,
        value: Option<u64>,
    },
    /// A user inside the kernel does something with an FLB.
    User {
        user: String,
        act: UserAct,
        flb: Flb,
    },
    /// Makes calls of a callback of the test driver fail.
    FailNext {
        callback: String,
        errno: String,
        times: u64,
    },
    /// Does something with each of its allocations failing in turn.
    FailAllocations {
        action: Box<Action>,
        undo: Vec<Action>,
    },
    /// Starts a process that takes objects over.
    StartProcess { process: String, takes: Vec<String> },
    /// Kills a process.
    KillProcess { process: String },
    /// Asks for a kexec that is refused.
    TryKexec,
    /// Begins something in another thread, which comes to stand still.
    Hold { action: Box<Action>, at: SyncPoint },
    /// Begins something in another thread, which comes to wait for what stands still.
    Wait {
        action: Box<Action>,
        functions: Vec<String>,
    },
    /// Lets what stands still go on to its end.
    Release { action: Box<Action> },
    /// What waited comes to its end as well.
    EndWait { action: Box<Action> },
    /// Does two things at once.
    Race {
        action: Box<Action>,
        against: Box<Action>,
        /// What the second must return.
        against_returns: super::Returns,
    },
    /// Does steps several times; what they expect is checked each time.
    Repeat { times: u64, steps: Vec<Step> },
    /// Looks for lost memory.
    CheckLeaks,
    /// Does nothing.
    Observe { what: String },
}

/// Whether the kernel can tell what came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// As always.
    Taken,
    /// Where the answer goes, nothing can be written.
    Unwritable,
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading alone.
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
    /// Through the device's file in sysfs.
    Sysfs,
    /// By switching its slot off.
    SlotPower,
    /// The machine asks for it back, and the kernel obeys.
    Unplug,
    /// It is gone, and nobody asked.
    Surprise,
}

/// What is known of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceState {
    /// The kernel knows of none.
    NotConfigured,
    /// The kernel knows it.
    Present,
    /// It has a driver.
    Bound,
    /// The kernel knows it, and it has no driver.
    Unbound,
}

/// A seal of a memfd, `F_SEAL_...`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "they are the kernel's own words")]
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
    /// As it is.
    Plain(String),
    /// Below the folder of a device in sysfs.
    OfDevice { device: Device, attribute: String },
}

/// What a user inside the kernel does with an FLB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserAct {
    /// Takes a reference.
    Get,
    /// Touches the object.
    Use,
    /// Gives the reference back.
    Put,
}

/// An FLB that users inside the kernel can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flb {
    /// The driver's, on its way out.
    Outgoing,
    /// The driver's, as it came in.
    Incoming,
    /// One of another name that never comes in.
    Other,
}

/// Where a thread is made to stand still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncPoint {
    /// The kernel function.
    pub function: String,
    /// At its return, not its entry.
    pub at_return: bool,
}

macro_rules! words {
    ($kind:ident: $($value:ident = $word:literal),+) => {
        impl $kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// Returns the word for it in the language.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$value => $word),+
                }
            }

            /// Returns what a word stands for.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.word() == word)
            }
        }
    };
}

words!(Removal: Sysfs = "sysfs", SlotPower = "slot-power", Unplug = "unplug", Surprise = "surprise");
words!(Access: Read = "read", ReadWrite = "read-write");
words!(Answer: Taken = "taken", Unwritable = "unwritable");
words!(DeviceState: NotConfigured = "absent", Present = "present", Bound = "bound", Unbound = "unbound");
words!(Seal: Seal = "seal", Shrink = "shrink", Grow = "grow", Write = "write", FutureWrite = "future_write", Exec = "exec");
words!(UserAct: Get = "get", Use = "use", Put = "put");

impl Flb {
    /// Returns the name of the test driver's file for it.
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
            Self::Other => "an FLB of another name",
        })
    }
}

/// The sentence of a step in diagnostics, timelines and comments.
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
                write!(f, "retrieve session {session}, with no room for the answer")
            }
            Self::SessionName { session, .. } => write!(f, "ask {session} for its name"),
            Self::Preserve { file, session, .. } => write!(f, "preserve {file} in {session}"),
            Self::Retrieve { file, session, .. } => write!(f, "retrieve {file} from {session}"),
            Self::Finish { session } => write!(f, "finish {session}"),
            Self::Close { object } => write!(f, "close {object}"),
            Self::OpenDevice { device, file } => write!(f, "open {device} as {file}"),
            Self::RemoveDevice { device, how } => match how {
                Removal::Sysfs => write!(f, "remove {device}"),
                Removal::SlotPower => write!(f, "switch the slot of {device} off"),
                Removal::Unplug => write!(f, "unplug {device}"),
                Removal::Surprise => write!(f, "unplug {device} by surprise"),
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
            Self::ExpectDevice { device, state } => write!(f, "{device} is {}", state.word()),
            Self::OpenFile { path, file } => write!(f, "open {path} as {file}"),
            Self::OpenAgain { of, file, access } => {
                write!(f, "open {of} again as {file}, to {}", access.word())
            }
            Self::CreateMemfd { file, .. } => write!(f, "create memfd {file}"),
            Self::FileSize { file, .. } => write!(f, "ask {file} for its size"),
            Self::WriteFile { file, .. } => write!(f, "write {file}"),
            Self::ReadFile { file, .. } => write!(f, "read {file}"),
            Self::CheckMapping { file, .. } => write!(f, "map {file}"),
            Self::Truncate { file, size } => write!(f, "truncate {file} to {size} bytes"),
            Self::Seal { file, .. } => write!(f, "seal {file}"),
            Self::ReadSeals { file, .. } => write!(f, "ask {file} for its seals"),
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
                1 => write!(f, "the next {callback} is to fail with {errno}"),
                _ => write!(f, "the next {times} {callback} are to fail with {errno}"),
            },
            Self::FailAllocations { action, .. } => {
                write!(f, "{action}, with each allocation failing in turn")
            }
            Self::StartProcess { process, takes } => {
                write!(f, "start {process}, which takes {}", takes.join(", "))
            }
            Self::KillProcess { process } => write!(f, "kill {process}"),
            Self::TryKexec => f.write_str("try to go over to the next kernel"),
            Self::Hold { action, at } => write!(f, "{action}, held at {at}"),
            Self::Wait { action, functions } => {
                write!(f, "{action}, waiting in {}", functions.join(" or "))
            }
            Self::Release { action } => write!(f, "let it go on: {action}"),
            Self::EndWait { action } => write!(f, "wait no more: {action}"),
            Self::Race {
                action, against, ..
            } => write!(f, "{action}, against {against}"),
            Self::Repeat { times, .. } => write!(f, "repeat {times} times"),
            Self::CheckLeaks => f.write_str("look for lost memory"),
            Self::Observe { what } => f.write_str(what),
        }
    }
}
