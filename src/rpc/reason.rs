//! Why a request fails, as `ErrorInfo.reason` says it, and the gRPC status that goes with it.
//!
//! The list below is the whole table: one line a reason, each with the one code of its status. The contract's `ErrorReason`
//! documents what each of them means; `docs/errors.md` says what to do.

use tonic::Code;

/// Makes the enum, its texts and its codes from one list.
macro_rules! reasons {
    ($($code:ident { $($name:ident = $text:literal,)* })*) => {
        /// Why a request failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Reason {
            $($(#[doc = concat!("`", $text, "`, with the status `", stringify!($code), "`.")] $name,)*)*
        }

        impl Reason {
            /// Every reason, grouped by its code.
            pub const ALL: &[Self] = &[$($(Self::$name,)*)*];

            /// The text that clients compare with: the contract's name without `ERROR_REASON_`.
            pub fn as_str_name(self) -> &'static str {
                match self {
                    $($(Self::$name => $text,)*)*
                }
            }

            /// The code of every status with this reason.
            pub fn code(self) -> Code {
                match self {
                    $($(Self::$name)|* => Code::$code,)*
                }
            }

            /// The reason with this text.
            pub fn from_str_name(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str_name() == text)
            }
        }
    };
}

reasons! {
    InvalidArgument {
        Field = "FIELD",
        UnknownField = "UNKNOWN_FIELD",
        MalformedRequest = "MALFORMED_REQUEST",
        Findings = "FINDINGS",
        TokenMalformed = "TOKEN_MALFORMED",
        TokenOtherFilter = "TOKEN_OTHER_FILTER",
        PageToken = "PAGE_TOKEN",
        DigestVersion = "DIGEST_VERSION",
        Policy = "POLICY",
    }
    NotFound {
        UnknownIndicator = "UNKNOWN_INDICATOR",
        UnknownEntity = "UNKNOWN_ENTITY",
        UnknownSource = "UNKNOWN_SOURCE",
        UnknownRanking = "UNKNOWN_RANKING",
        UnknownMethodology = "UNKNOWN_METHODOLOGY",
        NoEdition = "NO_EDITION",
        NoFigure = "NO_FIGURE",
        NoCursor = "NO_CURSOR",
    }
    AlreadyExists {
        RequestReused = "REQUEST_REUSED",
        EditionExists = "EDITION_EXISTS",
    }
    FailedPrecondition {
        EditionWithdrawn = "EDITION_WITHDRAWN",
        TokenOtherHistory = "TOKEN_OTHER_HISTORY",
        TokenOutdated = "TOKEN_OUTDATED",
        CursorBackwards = "CURSOR_BACKWARDS",
        CursorOtherFilter = "CURSOR_OTHER_FILTER",
        Compacted = "COMPACTED",
        RevertConflict = "REVERT_CONFLICT",
    }
    OutOfRange {
        AboveHead = "ABOVE_HEAD",
        BelowFloor = "BELOW_FLOOR",
    }
    Aborted {
        HeadMoved = "HEAD_MOVED",
        UploadIncomplete = "UPLOAD_INCOMPLETE",
    }
    PermissionDenied {
        Licence = "LICENCE",
    }
    ResourceExhausted {
        TooManySubscribers = "TOO_MANY_SUBSCRIBERS",
        TooManyConflating = "TOO_MANY_CONFLATING",
        TooManyBackups = "TOO_MANY_BACKUPS",
        TooManyCursors = "TOO_MANY_CURSORS",
        WriterBusy = "WRITER_BUSY",
        UploadTooLarge = "UPLOAD_TOO_LARGE",
        NoSpace = "NO_SPACE",
    }
    Unimplemented {
        NotSupported = "NOT_SUPPORTED",
    }
    Unavailable {
        WritesStopped = "WRITES_STOPPED",
        NotYetThere = "NOT_YET_THERE",
        TokenAhead = "TOKEN_AHEAD",
        Stopping = "STOPPING",
    }
    DataLoss {
        StoreDamaged = "STORE_DAMAGED",
    }
    Internal {
        StoreFailed = "STORE_FAILED",
        ServerFault = "SERVER_FAULT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::ErrorReason;

    #[test]
    fn reasons_are_read_as_they_are_written() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_str_name(reason.as_str_name()), Some(*reason));
        }
        assert_eq!(Reason::from_str_name("NO_SUCH_REASON"), None);
    }

    #[test]
    fn every_reason_of_the_contract_has_a_code() {
        let mut count = 0;
        while let Ok(reason) = ErrorReason::try_from(count + 1) {
            let text = reason.as_str_name().strip_prefix("ERROR_REASON_").unwrap();
            assert!(Reason::from_str_name(text).is_some_and(|reason| reason.code() != Code::Ok), "{text}");
            count += 1;
        }
        assert_eq!(count as usize, Reason::ALL.len(), "the contract numbers its reasons without gaps");
    }
}
