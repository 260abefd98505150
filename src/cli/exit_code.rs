//! What the program's exit status says.

use crate::store::StoreError;

/// Exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Ok = 0,
    /// Failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Done, but some source files could not be read.
    Unread = 3,
    /// `bench gate`: slower than the baseline allows.
    Slower = 4,
    /// `bench gate`: counters that must be equal have changed.
    CountersChanged = 5,
    /// There is no such store.
    NoStore = 10,
    /// Refused by policy.
    Refused = 11,
    /// Wrong passphrase or key file, or none.
    WrongSecret = 12,
    /// Damage was found; what is whole was done (a restore restores it).
    Damage = 20,
    /// Interrupted.
    Interrupted = 130,
}

impl ExitCode {
    /// The codes with what they mean, for `--help`.
    pub const HELP: &str = "\
Exit codes:
    0  done
    1  failed
    2  wrong usage
    3  done, but some source files could not be read (restore: at the time of the backup)
    4  bench gate: slower, or more instructions, than the baseline allows
    5  bench gate: a counter that must not change has changed
   10  there is no such store
   11  refused, since a rule of the store or of larder forbids it
   12  the passphrase or key file is wrong, or none was given
   20  damage was found (a restore still restores everything else)
  130  interrupted

With --json, an error is one object on standard error: {\"error\":\"…\",\"code\":10}";

    /// What an error of the engine means for the exit code.
    pub fn of(error: &StoreError) -> ExitCode {
        match error {
            StoreError::NoStore(_) => ExitCode::NoStore,
            StoreError::Refused(_) => ExitCode::Refused,
            StoreError::WrongSecret => ExitCode::WrongSecret,
            StoreError::Config(_) => ExitCode::Damage,
            e if e.is_damage() => ExitCode::Damage,
            _ => ExitCode::Failed,
        }
    }

    /// The graver of two outcomes of one run.
    pub fn or(self, other: ExitCode) -> ExitCode {
        if other as u8 > self as u8 { other } else { self }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        std::process::ExitCode::from(code as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectError;

    #[test]
    fn the_help_lists_every_code_under_its_number() {
        let codes = [
            ExitCode::Ok,
            ExitCode::Failed,
            ExitCode::Usage,
            ExitCode::Unread,
            ExitCode::Slower,
            ExitCode::CountersChanged,
            ExitCode::NoStore,
            ExitCode::Refused,
            ExitCode::WrongSecret,
            ExitCode::Damage,
            ExitCode::Interrupted,
        ];
        let listed: Vec<u8> =
            ExitCode::HELP.lines().filter_map(|l| l.split_whitespace().next().and_then(|w| w.parse().ok())).collect();
        assert_eq!(listed, codes.map(|c| c as u8));
    }

    #[test]
    fn errors_of_the_engine_have_their_own_codes() {
        let no_store = StoreError::NoStore("/x".into());
        assert_eq!(ExitCode::of(&no_store), ExitCode::NoStore);
        assert_eq!(ExitCode::of(&StoreError::WrongSecret), ExitCode::WrongSecret);
        assert_eq!(ExitCode::of(&StoreError::Refused("no".into())), ExitCode::Refused);
        assert_eq!(ExitCode::of(&StoreError::NoSnapshot("x".into())), ExitCode::Failed);
        let mismatch = ObjectError::Mismatch { object: "packs/ab".into() };
        assert_eq!(ExitCode::of(&StoreError::Object(mismatch)), ExitCode::Damage);
        assert_eq!(ExitCode::Unread.or(ExitCode::Damage), ExitCode::Damage);
    }
}
