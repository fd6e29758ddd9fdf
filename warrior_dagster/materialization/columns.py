"""What the columns mean that several tables have. A table describes its other columns itself (`Table.meanings`)."""

MINED_FROM = "The competitor that the instruction was mined from."
ANSWERED = "The competitor that gave the answer."
ANSWER_STATUS = (
    "`ok`; `unfinished`, cut off at the token limit; `unfinished_reasoning`, which ended before an answer; `empty`; or"
    " `failed`, where the request failed."
)
RETURNED = (
    "`returned`, or why there is no value: `raised`, `timeout`, `not plain`, `error`, `unstable` (two runs differ), `not run`,"
    " `needs module`, or `skipped` after calls that timed out."
)

MEANINGS = {
    "row_id": "Identifies the row within its partition.",
    "instruction_id": "Identifies the instruction in all tables: the beginning of the key of the completion that it is from.",
    "competitor": "The competitor.",
    "attacker": MINED_FROM,
    "instruction": "The text of the instruction.",
    "language": "The programming language that the model was asked for when the instruction was mined.",
    # Of requests.
    "completion_key": "The completion's key in the ledger: a hash of model, prompt, sampling parameters and sample number.",
    "attempts": "How many times the request was sent.",
    "error": "Why the request failed; empty if it did not.",
    "sample": "The number of the sample, from 0, among the samples of one prompt.",
    "tokens": "Tokens of the completion, reasoning included.",
    "reasoning": "What a reasoning model wrote before its answer; empty for other models.",
    "text": "What the judge wrote, or why tests or behaviour favour a side.",
    # Of answers.
    "answer": "The text of the answer, without reasoning.",
    "usable": "Whether the answer can battle: it is not empty, and its request did not fail.",
    # Of runs in the sandbox.
    "writer": "The competitor that wrote the test.",
    "test": "The test: one Python assert.",
    "input": "The call that is run, from a test or a variant of one.",
    "value": "What the call returned, as text; empty if it returned no plain value.",
    "bound": "The name that the answer's one function was given, because the test calls it so; empty if none was needed.",
    "level": "How the run was isolated: `bubblewrap`, `namespaces` or `limits`.",
    "answer_key": "The completion key of the answer.",
    "run_key": "A hash of everything that the run depends on: a run with the same key is not repeated.",
    # Of battles.
    "left": "The first competitor of the matchup.",
    "right": "The second competitor of the matchup.",
    "judge": "The competitor that judges.",
    "order": "Which answer the judge was shown first; empty where nobody was shown answers.",
    "evidence": "The kind of evidence: `opinion`, `execution` (tests) or `behaviour`.",
    "status": "`decided`, `tie`, or `failed`: the judge abstained, with the reason.",
    "reason": "Why there is no vote; empty if there is one.",
    "verdict": "The side that the vote is for: `left`, `right` or `tie`; empty if there is no vote.",
    "p_left": "The share of the vote for the left answer, 0 to 1; a probability where the judge gives them.",
    "p_right": "The share of the vote for the right answer, 0 to 1.",
    "key_left": "The completion key of the left answer.",
    "key_right": "The completion key of the right answer.",
    "decided_by": "What put the best answer first: a kind of evidence, or only `rating` or `length`; empty if nothing did.",
    # Of results.
    "opponent": "The other competitor.",
    "rating": "The rating.",
    "low": "The lower end of the 95 % interval.",
    "high": "The upper end of the 95 % interval.",
    "battles": "Number of battles.",
    "score": "The final score of the answer within its instruction; the best answer has the highest.",
    "band": "The band of the score: `excellent`, `good`, `average` or `poor`; `unrated` without a score.",
    "instructions": "Number of instructions.",
    "share": "The share of the competitor's instructions.",
}
