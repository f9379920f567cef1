//! Pairs of opposites, in English, German, French, Spanish and Portuguese.

/// Pairs of opposites; at most 64.
pub(super) const OPPOSITES: &[(&[&str], &[&str])] = &[
    (&["before", "vor", "avant", "antes"], &["after", "nach", "après", "después", "depois"]),
    (
        &["increase", "increases", "increasing", "raise", "erhöhen", "augmenter", "aumentar"],
        &["decrease", "decreases", "decreasing", "lower", "reduce", "senken", "diminuer", "reducir", "reduzir"],
    ),
    (
        &["maximum", "max", "maximise", "maximize", "most", "highest", "largest", "biggest", "longest"],
        &["minimum", "min", "minimise", "minimize", "least", "lowest", "smallest", "shortest"],
    ),
    (&["above", "over", "über", "plus"], &["below", "under", "unter", "minus"]),
    (&["more", "mehr", "más", "mais"], &["less", "fewer", "weniger", "moins", "menos"]),
    (
        &["buy", "buying", "purchase", "kaufen", "acheter", "comprar"],
        &["sell", "selling", "verkaufen", "vendre", "vender"],
    ),
    (
        &["enable", "enabled", "activate", "aktivieren", "activer", "activar", "ativar"],
        &["disable", "disabled", "deactivate", "deaktivieren", "désactiver", "desactivar", "desativar"],
    ),
    (
        &["open", "opening", "öffnen", "ouvrir", "abrir"],
        &["close", "closing", "schließen", "fermer", "cerrar", "fechar"],
    ),
    (&["left", "links", "gauche", "izquierda", "esquerda"], &["right", "rechts", "droite", "derecha", "direita"]),
    (&["start", "begin", "starten", "démarrer", "iniciar"], &["stop", "end", "stoppen", "arrêter", "parar"]),
    (
        &["add", "insert", "hinzufügen", "ajouter", "añadir", "adicionar"],
        &["remove", "delete", "entfernen", "löschen", "supprimer", "eliminar", "remover"],
    ),
    (&["import", "importing", "importieren", "importer"], &["export", "exporting", "exportieren", "exporter"]),
    (&["upload", "hochladen"], &["download", "herunterladen", "télécharger"]),
    (&["encrypt", "encode", "verschlüsseln"], &["decrypt", "decode", "entschlüsseln"]),
    (
        &["ascending", "aufsteigend", "croissant", "ascendente"],
        &["descending", "absteigend", "décroissant", "descendente"],
    ),
    (
        &["include", "including", "with", "mit", "avec", "con", "com"],
        &["exclude", "without", "ohne", "sans", "sin", "sem"],
    ),
    (&["hot", "warm", "heiß", "chaud", "caliente", "quente"], &["cold", "cool", "kalt", "froid", "frío", "frio"]),
    (&["cheap", "cheapest", "billig", "günstig", "barato"], &["expensive", "teuer", "cher", "caro"]),
    (
        &["win", "wins", "won", "gewinnen", "gagner", "ganar"],
        &["lose", "loses", "lost", "verlieren", "perdre", "perder"],
    ),
    (&["male", "man", "men", "männlich"], &["female", "woman", "women", "weiblich"]),
    (&["positive", "positiv", "positif", "positivo"], &["negative", "negativ", "négatif", "negativo"]),
    (&["true", "wahr", "vrai", "verdadero"], &["false", "falsch", "faux", "falso"]),
    (
        &["allow", "allowed", "permit", "legal", "erlauben", "erlaubt"],
        &["forbid", "forbidden", "deny", "illegal", "verbieten", "verboten"],
    ),
    (&["safe", "sicher", "sûr", "seguro"], &["dangerous", "unsafe", "gefährlich", "dangereux", "peligroso"]),
    (
        &["best", "better", "besser", "meilleur", "mejor", "melhor"],
        &["worst", "worse", "schlechter", "pire", "peor", "pior"],
    ),
    (
        &["advantage", "advantages", "pros", "benefits", "vorteile", "avantages", "ventajas"],
        &["disadvantage", "disadvantages", "cons", "drawbacks", "nachteile", "inconvénients", "desventajas"],
    ),
    (&["earliest", "oldest", "older"], &["latest", "newest", "newer"]),
    (
        &["next", "nächste", "nächsten", "prochain", "próximo"],
        &["previous", "last", "letzte", "letzten", "dernier", "último"],
    ),
    (&["login", "subscribe", "join", "anmelden"], &["logout", "unsubscribe", "leave", "abmelden"]),
    (&["lend", "send", "senden", "envoyer", "enviar"], &["borrow", "receive", "empfangen", "recevoir", "recibir"]),
    (&["up", "upgrade"], &["down", "downgrade"]),
    (&["internal", "inside", "innen"], &["external", "outside", "außen"]),
    (&["lock", "block", "sperren"], &["unlock", "unblock", "entsperren"]),
    (&["gain", "profit", "gewinn"], &["loss", "verlust", "perte"]),
    (&["accept", "approve", "annehmen", "accepter"], &["reject", "decline", "ablehnen", "refuser", "rechazar"]),
    (&["pass", "succeed", "success"], &["fail", "failure"]),
    (&["income", "import"], &["expense", "outgoing"]),
    (&["old", "alt"], &["new", "young", "neu"]),
];
