"""What the look-up tool of lesson 06 knows: some capitals, and the better-known elements."""

# Names and symbols, in the order of atomic numbers: IUPAC Periodic Table of the Elements, 4 May 2022.
FIRST = [
    pair.split(":")
    for pair in """
    hydrogen:H helium:He lithium:Li beryllium:Be boron:B carbon:C nitrogen:N oxygen:O fluorine:F
    neon:Ne sodium:Na magnesium:Mg aluminium:Al silicon:Si phosphorus:P sulfur:S chlorine:Cl
    argon:Ar potassium:K calcium:Ca scandium:Sc titanium:Ti vanadium:V chromium:Cr manganese:Mn
    iron:Fe cobalt:Co nickel:Ni copper:Cu zinc:Zn gallium:Ga germanium:Ge arsenic:As selenium:Se
    bromine:Br krypton:Kr""".split()
]
ELEMENTS = {name: (symbol, number) for number, (name, symbol) in enumerate(FIRST, start=1)}
ELEMENTS |= {"silver": ("Ag", 47), "tin": ("Sn", 50), "iodine": ("I", 53), "platinum": ("Pt", 78)}
ELEMENTS |= {"gold": ("Au", 79), "mercury": ("Hg", 80), "lead": ("Pb", 82), "uranium": ("U", 92)}
# Capitals: UN Statistics Division, Demographic Yearbook, table of capital cities.
CAPITALS = dict(
    pair.replace("_", " ").split(":")
    for pair in """
    austria:Vienna belgium:Brussels canada:Ottawa cuba:Havana denmark:Copenhagen egypt:Cairo
    finland:Helsinki france:Paris germany:Berlin greece:Athens hungary:Budapest iceland:Reykjavik
    ireland:Dublin italy:Rome japan:Tokyo kenya:Nairobi mexico:Mexico_City norway:Oslo peru:Lima
    poland:Warsaw portugal:Lisbon spain:Madrid sweden:Stockholm thailand:Bangkok""".split()
)
