//! What the demo's calls are made of: tickets, products, code, clauses and questions.

/// A product, its maker's knowledge, and a customer's ticket.
pub const TICKETS: &[(&str, &str, &str)] = &[
    (
        "Alder Boots",
        "Boots have a two-year warranty.",
        "My left boot leaks after three weeks of dry weather. What now?",
    ),
    ("Alder Boots", "Boots run half a size small.", "I usually wear 42. Which size should I order?"),
    ("Alder Boots", "Returns are free within 30 days.", "They pinch. How do I send them back?"),
    ("Finch Mail", "Attachments may have up to 25 MB.", "Sending a 40 MB video fails with an error. Is that a bug?"),
    ("Finch Mail", "Two-factor codes are valid for 30 seconds.", "The login code is refused every single time!"),
    ("Finch Mail", "Deleted mail is kept for 30 days.", "I emptied the bin by mistake. Can you get my mail back?"),
    ("Kettle One", "The kettle switches off without water.", "It stops after ten seconds and the light blinks red."),
    ("Kettle One", "Descale it every three months.", "There are white flakes in my tea. Is it safe?"),
    ("Kettle One", "Spare lids cost 6 euros.", "The lid broke when I dropped it. Do I need a new kettle?"),
    (
        "Lumen Lamp",
        "The lamp needs firmware 2.4 for schedules.",
        "The schedule I set yesterday did nothing this morning.",
    ),
    ("Lumen Lamp", "It speaks 2.4 GHz networks only.", "It does not find my network, though the phone does."),
    ("Lumen Lamp", "The battery lasts eight hours.", "After a year it lasts two hours at most. Is that normal?"),
    (
        "Parcel Plus",
        "Parcels are scanned at every depot.",
        "Tracking says delivered, but nothing came. Where is my order?",
    ),
    (
        "Parcel Plus",
        "An address can be changed until dispatch.",
        "I typed the wrong house number. Please help, it ships today.",
    ),
    ("Parcel Plus", "Pickup points keep parcels for seven days.", "I am away for two weeks. Can you hold it longer?"),
    (
        "Tally Books",
        "Invoices can be corrected, not deleted.",
        "I sent an invoice with last year's date. How do I fix it?",
    ),
    ("Tally Books", "Exports are CSV or DATEV.", "My accountant needs the figures of the third quarter."),
    ("Tally Books", "A plan can be cancelled by the month.", "We close the shop in June. What happens to our data?"),
];

/// Title, brand and description of a product.
pub const PRODUCTS: &[(&str, &str, &str)] = &[
    ("Cast-iron pan 28 cm", "Ember", "Pre-seasoned, for every stove"),
    ("Trail running shoes", "Alder", "Light shoes for rough ground and rain"),
    ("Wireless earbuds", "Sono", "Noise cancelling, 24 hours with the case"),
    ("Wooden train set, 42 pieces", "Pine & Co", "From three years on"),
    ("Vitamin D3 drops", "Norden", "1,000 IU a drop, 30 ml"),
    ("Fountain pen, medium nib", "Quill", "Brass body, converter included"),
    ("Two-person tent", "Ridge", "2.1 kg, 3,000 mm water column"),
    ("Espresso beans 1 kg", "Caldera", "Dark roast, chocolate and nuts"),
    ("Linen bed sheet 160x200", "Dune", "Stone washed"),
    ("Toy laptop with animal sounds", "Minim", "With batteries"),
    ("Mystery novel, paperback", "Harbour Press", "The third case of Inspector Vey"),
    ("USB-C charger 65 W", "Volt", "Two ports, folding plug"),
    ("Rain jacket", "Alder", "Taped seams, packs into its pocket"),
    ("Hand cream 75 ml", "Fern", "With almond oil"),
    ("Board game for two", "Tile House", "Thirty minutes, from ten years on"),
    ("Printer paper A4, 500 sheets", "Quill", "80 g, recycled"),
    ("Bicycle bell", "Ridge", "Brass, 22 mm"),
    ("Green tea, loose, 250 g", "Caldera", "First flush"),
    ("Vinyl record: Night Trains", "Harbour Sound", "180 g, gatefold"),
    ("Gift card 25 euros", "", "For the whole shop"),
    ("Desk lamp with clamp", "Lumen", "Warm white, dimmable"),
    ("Yoga mat 6 mm", "Ridge", "Natural rubber"),
    ("Silver ear studs", "Fern", "Freshwater pearls"),
    ("Blood pressure monitor", "Norden", "For the upper arm, with a memory of 90 values"),
];

/// Language, file and code.
pub const CODE: &[(&str, &str, &str)] = &[
    (
        "Rust",
        "src/money.rs",
        "pub fn split(total: u64, ways: u64) -> Option<Vec<u64>> {\n    if ways == 0 { return None; }\n    let (each, rest) = (total / ways, total % ways);\n    Some((0..ways).map(|i| each + u64::from(i < rest)).collect())\n}",
    ),
    (
        "Python",
        "orders/retry.py",
        "def with_retry(call, times=3, wait=0.2):\n    for attempt in range(times):\n        try:\n            return call()\n        except ConnectionError:\n            if attempt + 1 == times:\n                raise\n            time.sleep(wait * 2 ** attempt)",
    ),
    (
        "TypeScript",
        "src/debounce.ts",
        "export function debounce<T extends unknown[]>(run: (...args: T) => void, ms: number) {\n  let timer: ReturnType<typeof setTimeout> | undefined;\n  return (...args: T) => {\n    clearTimeout(timer);\n    timer = setTimeout(() => run(...args), ms);\n  };\n}",
    ),
    (
        "Go",
        "store/lru.go",
        "func (c *Cache) Get(key string) (string, bool) {\n\te, ok := c.items[key]\n\tif !ok {\n\t\treturn \"\", false\n\t}\n\tc.order.MoveToFront(e)\n\treturn e.Value.(*entry).value, true\n}",
    ),
    (
        "SQL",
        "reports/top.sql",
        "create function top_customers(since date, n int) returns table (id int, total numeric) as $$\n  select customer_id, sum(amount) from orders where placed_on >= since\n  group by customer_id order by 2 desc limit n\n$$ language sql;",
    ),
    (
        "Java",
        "Interval.java",
        "public boolean overlaps(Interval other) {\n    return start.isBefore(other.end) && other.start.isBefore(end);\n}",
    ),
    (
        "Ruby",
        "lib/slug.rb",
        "def slug(text)\n  text.unicode_normalize(:nfkd).downcase.gsub(/[^a-z0-9]+/, '-').gsub(/^-|-$/, '')\nend",
    ),
    (
        "C",
        "ring.c",
        "int ring_push(struct ring *r, uint8_t byte) {\n    size_t next = (r->head + 1) % r->size;\n    if (next == r->tail) return -1;\n    r->data[r->head] = byte;\n    r->head = next;\n    return 0;\n}",
    ),
];

/// The party that is asked about, and the contract's text.
pub const CONTRACTS: &[(&str, &str)] = &[
    (
        "customer",
        "7.1 Either party may end this agreement with thirty days' notice. 7.2 It renews for twelve months unless ended before.",
    ),
    (
        "supplier",
        "9. Liability is limited to the fees paid in the twelve months before the claim. This does not hold for gross negligence.",
    ),
    (
        "tenant",
        "§ 3 Rent. The rent rises each year on 1 January with the consumer price index. § 4 The deposit is three months' rent.",
    ),
    (
        "employee",
        "12. The employee shall not work for a competitor within 50 km for one year after the employment ends.",
    ),
    (
        "customer",
        "4.2 Invoices are due within fourteen days. 4.3 On late payment the provider may suspend the service after one reminder.",
    ),
    ("landlord", "§ 8 Minor repairs up to 100 euros each, and 300 euros a year, are borne by the tenant."),
    (
        "supplier",
        "15. This agreement is governed by the law of Denmark. The courts of Copenhagen have sole jurisdiction.",
    ),
    (
        "customer",
        "11. The provider indemnifies the customer against claims of third parties that the service infringes their rights.",
    ),
];

/// Questions that no prompt is for.
pub const QUESTIONS: &[&str] = &[
    "Why is the sky blue at noon and red in the evening?",
    "Name three ways to shorten a meeting.",
    "Explain a mutex to someone who cooks.",
    "Write a subject line for a newsletter about winter tyres.",
    "What should stand in a handover note before a holiday?",
    "Summarise: The migration ran two hours late. Nothing was lost. The next one is planned for March.",
    "Which questions should I ask a candidate for a support job?",
    "Turn this into one sentence: the shop opens at nine; on Sundays it stays closed; parking is free.",
    "How does a heat pump work?",
    "Give me a checklist for a product launch.",
    "What is the difference between latency and throughput?",
    "Suggest a name for a library that parses dates.",
];

/// Sentences to embed.
pub const SENTENCES: &[&str] = &[
    "The parcel was delivered to a neighbour.",
    "Your invoice for March is ready.",
    "The kettle switches off without water.",
    "We open at nine and close at six.",
    "Returns are free within thirty days.",
    "The lamp needs new firmware.",
];
