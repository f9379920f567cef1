//! Pairs that vectors hold for the same and that a looker found to pass, and paraphrases beside them.

use super::{Difference, difference};

/// Each is refused in both directions.
const REFUSED: &[(&str, &str)] = &[
    // Signs and operators.
    ("values >= 100", "values <= 100"),
    ("when x > 5", "when x < 5"),
    ("rows with = 3", "rows with != 3"),
    ("What is 17 + 4?", "What is 17 - 4?"),
    ("What is 17 + 4?", "What is 17 * 4?"),
    ("What is 7×2?", "What is 7÷2?"),
    ("What is A+B?", "What is A-B?"),
    ("is 5 < x", "is x < 5"),
    ("prove a ≤ b", "prove a ≥ b"),
    ("assume p = q", "assume p ≠ q"),
    ("assume p = q", "assume p =\u{338} q"),
    ("absolute value of 5", "absolute value of –5"),
    ("what does x = y do", "what does y = x do"),
    ("what does == do", "what does != do"),
    ("compute a*b", "compute a/b"),
    ("compute x - y", "compute x + y"),
    ("is ¬p true", "is p true"),
    ("return !ready", "return ready"),
    // Fractions, powers, parts of a day.
    ("add ½ cup", "add ¼ cup"),
    ("derive x²", "derive x³"),
    ("do step ①", "do step ②"),
    ("wake me at 5 am", "wake me at 5 pm"),
    ("wake me at 5 a.m.", "wake me at 5 p.m."),
    ("what are two thirds of it", "what are two fifths of it"),
    ("zwei Drittel davon", "zwei Fünftel davon"),
    ("deux tiers du gâteau", "deux cinquièmes du gâteau"),
    ("dos tercios", "dos quintos"),
    ("две трети", "две пятых"),
    ("give three tips", "give five tips"),
    ("gib drei Tipps", "gib fünf Tipps"),
    ("donne trois idées", "donne cinq idées"),
    ("da tres ideas", "da cinco ideas"),
    ("дай три совета", "дай пять советов"),
    // Code.
    ("what does ls -a do", "what does ls -l do"),
    ("deploy my-app", "deploy my-web"),
    ("deploy my-app", "deploy the app"),
    ("add 1,2345", "add 12345"),
    ("print $x", "print $y"),
    ("who is @bob", "who is @amy"),
    ("posts with #alpha", "posts with #beta"),
    ("what is <b> for", "what is <i> for"),
    ("learn C", "learn C++"),
    ("learn c++", "learn c#"),
    ("read a.b.c", "read a.b.d"),
    ("what does git push do", "what does git pull do"),
    // Emoji and arrows.
    ("what does 👍 mean", "what does 👎 mean"),
    ("go → there", "go ← there"),
    // Negations.
    ("is it possible", "is it impossible"),
    ("why do you agree", "why do you disagree"),
    ("is it valid", "is it invalid"),
    ("is it complete", "is it incomplete"),
    ("how to install it", "how to uninstall it"),
    ("how to freeze it", "how to unfreeze it"),
    ("how to mute it", "how to unmute it"),
    ("how to compress it", "how to decompress it"),
    ("is it regular", "is it irregular"),
    ("is it logical", "is it illogical"),
    ("ist das möglich", "ist das unmöglich"),
    ("это возможно", "это невозможно"),
    ("is it useful", "is it useless"),
    ("coffee w/ milk", "coffee w/o milk"),
    ("it works", "it hardly works"),
    ("it is done", "it ain't done"),
    ("здесь можно курить", "здесь нельзя курить"),
    ("밥을 먹어요", "밥을 안 먹어요"),
    ("먹어요", "먹지 않아요"),
    ("זה נכון", "זה לא נכון"),
    // Opposites.
    ("turn the light on", "turn the light off"),
    ("how do I log in", "how do I log out"),
    ("how do I sign in to the app in spring", "how do I sign out of the app in spring"),
    ("is coffee good", "is coffee bad"),
    ("fly east", "fly west"),
    ("the north pole", "the south pole"),
    ("grant access", "revoke access"),
    ("deposit money", "withdraw money"),
    ("a debit card", "a credit card"),
    ("is it even", "is it odd"),
    ("a public repository", "a private repository"),
    ("inbound traffic", "outbound traffic"),
    ("gain weight", "lose weight"),
    ("buy a house", "sell a house"),
    ("das Gerät einschalten", "das Gerät ausschalten"),
    ("est-ce permis", "est-ce interdit"),
    ("我想买房子", "我想卖房子"),
    ("where does he live", "where does she live"),
    ("is more better", "is less better"),
    ("eat before sport", "eat after sport"),
    ("before or after", "after or before"),
    // Time.
    ("the plan for this week", "the plan for next week"),
    ("the plan for this week", "the plan for last week"),
    ("the last page", "the previous page"),
    ("the next page", "the last page"),
    ("the news of today", "the news of yesterday"),
    ("the news of today", "the news of tomorrow"),
    ("who is the king", "who was the king"),
    ("who is the king", "who will be the king"),
    ("who was the king", "who will be the king"),
    ("lunch at noon", "lunch at midnight"),
    ("in the morning", "in the evening"),
    ("in summer", "in winter"),
    ("a daily report", "a weekly report"),
    ("a monthly report", "a yearly report"),
    ("open on the weekend", "open on a weekday"),
    ("昨天的新闻", "今天的新闻"),
    ("今天的新闻", "明天的新闻"),
    // Look-alikes.
    ("is it ｎｏｔ safe", "is it safe"),
    ("is it n\u{AD}ot safe", "is it safe"),
    ("pay with \u{440}aypal", "pay with \u{440}aypal now"),
    ("call \u{3B1}lpha", "call alpha"),
];

/// Each still serves the other.
const SERVED: &[(&str, &str)] = &[
    ("Ｗｈａｔ is a monad", "what is a monad"),
    ("send an e-mail", "send an email"),
    ("is my-app running", "is my app running"),
    ("Où est-ce que je trouve ma facture ?", "Où trouver ma facture ?"),
    ("wake me at 5 am", "wake me at 5am"),
    ("How can I learn C++?", "What is the way to learn C++?"),
    ("who is @bob", "tell me who @bob is"),
    ("thanks 👍 how do I pay", "thank you 👍 where do I pay"),
    ("Is it possible to pay by card?", "Can I pay by card?"),
    ("how to install it", "the way to install it"),
    ("What is the price?", "what is the price – please"),
    ("is it possible or impossible", "say whether it is possible or impossible"),
    ("which one is the best", "which is the best"),
    ("what am I to pay", "what do I pay"),
];

#[test]
fn what_a_looker_found_is_refused_in_both_directions() {
    let passed: Vec<_> = REFUSED
        .iter()
        .flat_map(|(one, other)| [(one, other), (other, one)])
        .filter(|(one, other)| difference(one, other).is_none())
        .collect();
    assert!(passed.is_empty(), "{passed:#?}");
}

#[test]
fn paraphrases_beside_them_still_serve() {
    let refused: Vec<(&str, &str, Difference)> = SERVED
        .iter()
        .flat_map(|(one, other)| [(*one, *other), (*other, *one)])
        .filter_map(|(one, other)| difference(one, other).map(|differs| (one, other, differs)))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn a_pair_differs_by_what_it_is_refused_for() {
    assert_eq!(difference("is 5 < x", "is x < 5"), Some(Difference::Code));
    assert_eq!(difference("add ½ cup", "add ¼ cup"), Some(Difference::Number));
    assert_eq!(difference("is it possible", "is it impossible"), Some(Difference::Opposite));
    assert_eq!(difference("a daily report", "a weekly report"), Some(Difference::Time));
}
