//! What an object of a sink is and holds, in facts that can be shown. Pure: bytes come in, facts go out; nothing here
//! asks a store. Objects are foreign text: nothing in them may panic, and what is shown obeys no terminal codes.

mod avro;
mod cell;
mod file;
mod folder;
mod ledger;

pub use avro::first_rows_of_avro;
pub use cell::{Cell, Row};
pub use file::{Column, FileFacts, RowGroup, first_rows};
pub use folder::{Entry, Folder, Kind, Sums};
pub use ledger::{LedgerObject, is_manifest};
