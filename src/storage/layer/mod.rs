//! Wrappers that can be put around any storage.

pub mod fault;
pub mod record;

pub use fault::{Fault, FaultStorage, Plan, Prefix};
pub use record::{Operation, RecordStorage};

/// The operations of a storage and of its writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum OperationKind {
    Put,
    /// A writer is made.
    Begin,
    Append,
    Commit,
    Abort,
    Get,
    GetRange,
    Head,
    List,
    Delete,
}

impl OperationKind {
    /// All of them.
    pub const ALL: [OperationKind; 10] = [
        OperationKind::Put,
        OperationKind::Begin,
        OperationKind::Append,
        OperationKind::Commit,
        OperationKind::Abort,
        OperationKind::Get,
        OperationKind::GetRange,
        OperationKind::Head,
        OperationKind::List,
        OperationKind::Delete,
    ];

    /// As errors name it.
    pub fn verb(self) -> &'static str {
        match self {
            OperationKind::Put | OperationKind::Commit => "create",
            OperationKind::Begin => "begin a file in",
            OperationKind::Append => "write a file of",
            OperationKind::Abort => "give up a file of",
            OperationKind::Get | OperationKind::GetRange => "read",
            OperationKind::Head => "look at",
            OperationKind::List => "list",
            OperationKind::Delete => "delete",
        }
    }
}
