"""What the house knows for sure: its people and its suppliers. The registries read from here, and nobody writes it."""

COLLEAGUES = {
    "Dana Reyes": "dana.reyes@acme.example",
    "Omar Haddad": "omar.haddad@acme.example",
    "Mei Lin": "mei.lin@acme.example",
    "Jonas Berg": "jonas.berg@acme.example",
    "Priya Nair": "priya.nair@acme.example",
    "Tom Okafor": "tom.okafor@acme.example",
}
NAMES = tuple(COLLEAGUES)

# Known suppliers are paid by their creditor number, others by the account that a person names.
SUPPLIERS = {"Northwind Traders": "C-20417", "Contoso Print": "C-31182", "Fabrikam Energy": "C-40963"}
ACCOUNTS = ("DE89370400440532013000", "FR7630006000011234567890189", "NL91ABNA0417164300")
SUPPLIER_NAMES = tuple(SUPPLIERS)
