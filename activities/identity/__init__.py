"""Who people are to us, and how what they say is proved: principals, their keys, statements and signatures."""
