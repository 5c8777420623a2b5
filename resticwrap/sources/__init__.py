"""How domains are captured and put back."""
