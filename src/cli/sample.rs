//! Sample data.
use super::{error::CliError, session::Session};
pub async fn load(_session: &Session) -> Result<(), CliError> {
    Ok(())
}
