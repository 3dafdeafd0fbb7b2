"""Ragged texts by language, in its own script: what small tokenizers learn and are asked."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, tuple[str, ...]]] = {
    "en": (
        "Paris is the capital of France.",
        "Yes.",
        "The quick brown fox, tired of jumping, slept over the lazy dog's shoulder until noon!",
        "Who paid $3,500.75 for a na\u00efve caf\u00e9 in New York?",
        "the protein binds to the receptor and inhibits the growth of cells in mice",
        "I don't think it's good; I think it is wonderful \U0001f600",
    ),
    "de": (
        "M\u00fcnchen liegt im S\u00fcden Deutschlands.",
        "Nein!",
        "Die Donaudampfschifffahrtsgesellschaft f\u00e4hrt \u00fcber Stra\u00dfen, Fl\u00fcsse und Br\u00fccken nach Wien.",
        "Wer bezahlt 12,50 \u20ac f\u00fcr \u00c4pfel?",
        "Angela wohnt in K\u00f6ln und arbeitet bei einer gro\u00dfen Bank",
    ),
    "fr": (
        "Paris est la capitale de la France.",
        "Oui\u00a0!",
        "L'\u00e9l\u00e8ve a mang\u00e9 d'\u00e9normes g\u00e2teaux \u00e0 No\u00ebl, o\u00f9 qu'il f\u00fbt, malgr\u00e9 l'h\u00f4tesse.",
        "Combien co\u00fbte l'\u0153uvre de Claude Monet \u00e0 Giverny ?",
        "C\u2019est aujourd\u2019hui que Marie part pour Lyon",
    ),
    "es": (
        "Madrid es la capital de Espa\u00f1a.",
        "\u00a1S\u00ed!",
        "El ping\u00fcino so\u00f1\u00f3 con un ni\u00f1o que le\u00eda, sin prisa, el peri\u00f3dico de ayer en la monta\u00f1a.",
        "\u00bfQui\u00e9n pag\u00f3 3.500 \u20ac por una \u00f1ora?",
    ),
    "pt": (
        "Lisboa \u00e9 a capital de Portugal.",
        "N\u00e3o.",
        "Os cora\u00e7\u00f5es das crian\u00e7as batiam, ent\u00e3o, com a for\u00e7a dos sons que vinham do sert\u00e3o brasileiro.",
        "Quem comprou p\u00e3o em S\u00e3o Paulo por R$ 7,90?",
    ),
    "ru": (
        "\u041c\u043e\u0441\u043a\u0432\u0430 \u2014 \u0441\u0442\u043e\u043b\u0438\u0446\u0430 \u0420\u043e\u0441\u0441\u0438\u0438.",
        "\u0414\u0430!",
        "\u0401\u043b\u043a\u0430 \u0438 \u0439\u043e\u0433\u0443\u0440\u0442 \u0441\u0442\u043e\u044f\u043b\u0438 \u043d\u0430 \u0441\u0442\u043e\u043b\u0435, \u043f\u043e\u043a\u0430 \u0410\u043d\u043d\u0430 \u0447\u0438\u0442\u0430\u043b\u0430 \u00ab\u0412\u043e\u0439\u043d\u0443 \u0438 \u043c\u0438\u0440\u00bb \u0434\u043e \u0441\u0430\u043c\u043e\u0433\u043e \u0443\u0442\u0440\u0430.",
        "\u041a\u0442\u043e \u0437\u0430\u043f\u043b\u0430\u0442\u0438\u043b 3500 \u20bd \u0437\u0430 \u043a\u043e\u0444\u0435?",
    ),
    "pl": (
        "Warszawa jest stolic\u0105 Polski.",
        "Tak.",
        "Za\u017c\u00f3\u0142\u0107 g\u0119\u015bl\u0105 ja\u017a\u0144 pr\u00f3bowa\u0142 nauczyciel z \u0141odzi, zanim zacz\u0105\u0142 pada\u0107 \u015bnieg w g\u00f3rach.",
    ),
    "ar": (
        "\u0627\u0644\u0642\u0627\u0647\u0631\u0629 \u0639\u0627\u0635\u0645\u0629 \u0645\u0635\u0631.",
        "\u0646\u0639\u0645",
        "\u0643\u064e\u062a\u064e\u0628\u064e \u0627\u0644\u0637\u0651\u0627\u0644\u0650\u0628\u064f \u0627\u0644\u062f\u0651\u064e\u0631\u0652\u0633\u064e\u060c \u062b\u0645 \u0630\u0647\u0628 \u0625\u0644\u0649 \u0627\u0644\u0645\u0643\u062a\u0628\u0629 \u0645\u0639 \u0623\u0635\u062f\u0642\u0627\u0626\u0647 \u0641\u064a \u0627\u0644\u0645\u062f\u064a\u0646\u0629 \u0627\u0644\u0642\u062f\u064a\u0645\u0629.",
        "\u0645\u0646 \u062f\u0641\u0639 \u0663\u0665\u0660\u0660 \u062c\u0646\u064a\u0647\u061f",
    ),
    "hi": (
        "\u0926\u093f\u0932\u094d\u0932\u0940 \u092d\u093e\u0930\u0924 \u0915\u0940 \u0930\u093e\u091c\u0927\u093e\u0928\u0940 \u0939\u0948\u0964",
        "\u0939\u093e\u0901",
        "\u0915\u094d\u0937\u0924\u094d\u0930\u093f\u092f \u0915\u0940 \u0915\u0939\u093e\u0928\u0940 \u092a\u0922\u093c\u0915\u0930 \u092c\u091a\u094d\u091a\u0947 \u092c\u0939\u0941\u0924 \u0926\u0947\u0930 \u0924\u0915 \u0939\u0901\u0938\u0924\u0947 \u0930\u0939\u0947, \u092b\u093f\u0930 \u0938\u094b \u0917\u090f\u0964",
    ),
    "zh": (
        "\u5df4\u9ece\u662f\u6cd5\u56fd\u7684\u9996\u90fd\u3002",
        "\u662f",
        "\u4eca\u5929\u5929\u6c14\u5f88\u597d\uff0c\u6211\u4eec\u548cTom\u4e00\u8d77\u53bb\u5317\u4eac\u5927\u5b66\u770b\u7535\u5f71\uff0c\u7136\u540e\u56de\u5bb6\u5403\u996d\u3002",
        "\u8c01\u4e70\u4e86iPhone 15\uff1f",
    ),
    "ja": (
        "\u6771\u4eac\u306f\u65e5\u672c\u306e\u9996\u90fd\u3067\u3059\u3002",
        "\u306f\u3044",
        "\u6628\u65e5\u3001\u53cb\u9054\u3068\u4e00\u7dd2\u306b\u300c\u5343\u3068\u5343\u5c0b\u306e\u795e\u96a0\u3057\u300d\u3092\u898b\u3066\u3001\u3068\u3066\u3082\u611f\u52d5\u3057\u307e\u3057\u305f\uff01",
        "\u30c7\u30fc\u30bf\u30d9\u30fc\u30b9\u306eURL\u306f\uff1f",
    ),
    "ko": (
        "\uc11c\uc6b8\uc740 \ub300\ud55c\ubbfc\uad6d\uc758 \uc218\ub3c4\uc774\ub2e4.",
        "\ub124",
        "\uc5b4\uc81c \uce5c\uad6c\uc640 \ud568\uaed8 \ubcf8 \uc601\ud654\ub294 \ucc38 \uc7ac\ubbf8\uc788\uc5c8\uace0, \uc6b0\ub9ac\ub294 \ub2a6\uac8c\uae4c\uc9c0 \uc774\uc57c\uae30\ud588\ub2e4!",
        "\ub204\uac00 3,500\uc6d0\uc744 \ub0c8\uc2b5\ub2c8\uae4c?",
    ),
    "vi": (
        "H\u00e0 N\u1ed9i l\u00e0 th\u1ee7 \u0111\u00f4 c\u1ee7a Vi\u1ec7t Nam.",
        "V\u00e2ng",
        "H\u00f4m qua t\u00f4i \u0111\u1ecdc m\u1ed9t quy\u1ec3n s\u00e1ch r\u1ea5t hay v\u1ec1 nh\u1eefng ng\u01b0\u1eddi n\u00f4ng d\u00e2n \u1edf \u0111\u1ed3ng b\u1eb1ng s\u00f4ng C\u1eedu Long.",
    ),
}  # fmt: skip
MANY: Final = "many"
TEXTS[MANY] = tuple(text for texts in list(TEXTS.values()) for text in texts[:3:2])
