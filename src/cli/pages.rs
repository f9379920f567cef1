//! Lists that come page by page.

use serde_json::Value;

use super::client::Client;
use super::outcome::Failure;
use super::usage::added;

/// The most rows that the API gives at once.
const PAGE: u32 = 500;

/// The most rows that a command prints.
pub const MOST: u32 = 100_000;

/// As many rows of the list at `path` as are wanted, and the cursor of the next page. The path ends in a question mark or a parameter.
pub async fn rows(client: &Client, path: &str, limit: u32) -> Result<(Vec<Value>, Option<String>), Failure> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut rows, mut cursor) = (Vec::new(), None::<String>);
    while rows.len() < most {
        let wanted = u32::try_from(most - rows.len()).unwrap_or(PAGE).min(PAGE);
        let page = added(path.to_owned(), ("limit", &wanted.to_string()));
        let page = cursor.iter().fold(page, |page, cursor| added(page, ("cursor", cursor)));
        let mut page = client.get(&page).await?;
        rows.append(page["rows"].as_array_mut().unwrap_or(&mut Vec::new()));
        cursor = page["next_cursor"].as_str().map(ToOwned::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    Ok((rows, cursor))
}
