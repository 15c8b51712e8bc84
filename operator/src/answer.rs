//! What the API server's refusals say to people and to code.

/// Its words alone, without the tree that they came in.
#[must_use]
pub fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}

/// Whether the object, or its whole kind, is not there. For a kind that nobody has defined the answer is a page without
/// a reason.
#[must_use]
pub fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether the API server has looked at the object and said no; the same object is refused again.
#[must_use]
pub fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if [400, 403, 422].contains(&status.code))
}
